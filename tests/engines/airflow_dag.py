"""Imports the DAG of examples/engines in Airflow and runs it, task by task as Airflow does, on dayfly's own endpoint with
agents on this machine; then its first tasks once more, as a retry would. Runs in an environment with apache-airflow.
    airflow_dag.py AGENT DAYFLY"""

import contextlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

RECIPE = pathlib.Path(__file__).parents[2] / "examples/engines/airflow"


def surroundings(stack, agent, dayfly):
    folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dayfly-airflow-", ignore_cleanup_errors=True)))
    programs = folder / "bin"
    programs.mkdir()
    programs.joinpath("dayfly").symlink_to(dayfly)
    texts = folder / "buckets/my-bucket/texts"
    texts.mkdir(parents=True)
    for n in range(5):
        texts.joinpath(f"text{n}").write_text(f"file {n}\n")
    server = subprocess.Popen([dayfly, "serve", folder / "buckets", "--port", "0"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    stack.callback(server.wait)
    stack.callback(server.kill)
    for line in server.stdout:
        if line.startswith("export "):
            name, value = line.removeprefix("export ").strip().split("=", 1)
            os.environ[name] = value
        if line.startswith("# then"):
            break
    os.environ |= {"PATH": f"{programs}:/usr/bin:/bin", "HOME": str(folder), "DAYFLY_AGENT": agent, "AWS_REGION": "us-east-1",
                   "AIRFLOW_HOME": str(folder / "airflow"), "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
                   "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING"}
    shutil.copytree(RECIPE, folder / "airflow/dags")
    for words in (["db", "migrate"], ["dags", "reserialize"]):
        subprocess.run([pathlib.Path(sys.executable).parent / "airflow", *words], check=True, capture_output=True)
    return folder


def main(agent, dayfly):
    with contextlib.ExitStack() as stack:
        folder = surroundings(stack, agent, dayfly)
        from airflow.dag_processing.dagbag import DagBag

        bag = DagBag(dag_folder=str(folder / "airflow/dags"))
        assert not bag.import_errors, bag.import_errors
        dag = bag.dags["dayfly_job"]
        assert [task.task_id for task in dag.topological_sort()] == ["seed", "agents", "wait", "judge", "clean"]
        print("ok      Airflow imports the DAG without an error")
        dag.get_task("wait").poke_interval = 1
        run = dag.test(run_conf={"agents": 2})
        assert run.state == "success", run
        [job] = folder.joinpath("buckets/my-bucket/airflow").iterdir()
        for n in range(5):
            assert job.joinpath(f"out/text{n}").read_text() == f"FILE {n}\n"
        print("ok      Airflow ran the DAG on a job of five files to its end")
        # The bodies, without Airflow: tried again after the end they change nothing.
        before = {path: path.read_bytes() for path in job.glob("out/*")}
        place = {"DAYFLY_JOB": f"s3://my-bucket/airflow/{job.name}", "INPUTS": "s3://my-bucket/texts", "AGENTS": "2"}
        for name in ("seed", "agents", "clean"):
            subprocess.run(["bash", "-ec", dag.get_task(name).bash_command], env=os.environ | place, check=True, capture_output=True)
        subprocess.run([dayfly, "watch", place["DAYFLY_JOB"]], check=True, capture_output=True, timeout=120)
        assert before == {path: path.read_bytes() for path in job.glob("out/*")}
        print("ok      its tasks, tried again, change nothing")


if __name__ == "__main__":
    main(*sys.argv[1:])
