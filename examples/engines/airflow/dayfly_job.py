"""One dayfly job a run, in Airflow 3: put it in place, start agents, wait for its end, judge, tidy up.

Each task may be tried again: the job's place is named after the run, seeding again goes on where it stood, agents are started
only while none lives, and waiting reads the bucket alone. The worker needs `dayfly` on its PATH and AWS credentials.
"""

import json
import subprocess
from datetime import timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, Param, PokeReturnValue, task
from airflow.sdk.exceptions import AirflowFailException

# A run's name has characters that are no good in a key.
PLACE = "{{ params.place }}/{{ run_id | replace(':', '-') | replace('+', '-') }}"

with DAG(
    dag_id="dayfly_job",
    description="A program over many files, by dayfly",
    schedule=None,
    params={
        "place": Param("s3://my-bucket/airflow", description="jobs go below it"),
        "inputs": Param("s3://my-bucket/texts", description="where the inputs are"),
        "agents": Param(20, type="integer", minimum=1, description="how many agents are started"),
    },
    default_args={"retries": 3, "retry_delay": timedelta(minutes=1)},
) as dag:
    job = {"DAYFLY_JOB": PLACE, "INPUTS": "{{ params.inputs }}", "AGENTS": "{{ params.agents }}"}

    seed = BashOperator(
        task_id="seed",
        bash_command="""dayfly seed --inputs "$INPUTS" --agents "$AGENTS" --shell 'tr a-z A-Z < {input}'""",
        env=job,
        append_env=True,
    )

    # With an engine of your own submit its array here instead. Agents too many end at once: they find nothing to claim.
    agents = BashOperator(
        task_id="agents",
        bash_command="""
            live=$(dayfly status --json |
                python3 -c 'import json, sys; print(sum(agent["live"] for agent in json.load(sys.stdin)["agents"]))')
            [ "$live" -gt 0 ] || dayfly launch --yes -n "$AGENTS"
        """,
        env=job,
        append_env=True,
    )

    # Between two looks it takes no worker's slot.
    @task.sensor(poke_interval=60, timeout=12 * 3600, mode="reschedule")
    def wait(place: str) -> PokeReturnValue:
        """Waits until the job is over; its figures."""
        looked = subprocess.run(["dayfly", "status", place, "--json"], capture_output=True, text=True, check=True)
        now = json.loads(looked.stdout)
        if now["state"] == "cancelled":
            raise AirflowFailException(f"the job was cancelled: {now.get('why')}")
        born = now["agents"]
        if now["state"] != "over" and born and not any(agent["live"] for agent in born):
            raise AirflowFailException("the job is not over, and no agent is left: clear the task 'agents' to start more")
        figures = {"done": now["tasks"]["done"], "failed": now["tasks"]["failed"]}
        return PokeReturnValue(is_done=now["state"] == "over", xcom_value=figures)

    @task
    def judge(figures: dict, place: str) -> dict:
        """Fails, for good, where tasks were given up."""
        if figures["failed"]:
            raise AirflowFailException(f"{figures['failed']} tasks were given up: dayfly logs {place} --failed")
        return figures

    clean = BashOperator(task_id="clean", bash_command="dayfly clean --yes", env=job, append_env=True)

    waited = wait(PLACE)
    seed >> agents >> waited
    judge(waited, PLACE) >> clean
