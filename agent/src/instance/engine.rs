//! The engine that started this process, where one did, by the variables that it sets: Kubernetes, AWS Batch, Slurm.
//!
//! Nothing depends on it but what people read: where an agent runs, and which of the engine's own it is.

/// What started this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Engine {
    /// In words, with the engine's own numbers: `slurm 1234_3`.
    pub words: String,
    /// A name that people find again in the engine's own tools; none where the host's name is one.
    pub name: Option<String>,
}

impl Engine {
    /// The engine that these variables are of. AWS Batch comes first, as it runs jobs on Kubernetes too.
    pub fn of(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let again = |tries: Option<u32>| tries.filter(|n| *n > 1).map(|n| format!(", try {n}")).unwrap_or_default();
        // `UUID`, or `UUID:INDEX` for a child of an array (Batch user guide, "Job environment variables", "Array jobs").
        if let Some(job) = variable("AWS_BATCH_JOB_ID") {
            let attempt = variable("AWS_BATCH_JOB_ATTEMPT").and_then(|n| n.parse().ok());
            let (uuid, index) = job.split_once(':').map_or((&*job, None), |(uuid, index)| (uuid, Some(index)));
            let short = uuid.split('-').next().unwrap_or(uuid);
            let name = index.map_or(format!("batch-{short}"), |index| format!("batch-{short}-{index}"));
            return Some(Self { words: format!("batch {job}{}", again(attempt)), name: Some(name) });
        }
        // sbatch(1), "OUTPUT ENVIRONMENT VARIABLES".
        if let Some(job) = variable("SLURM_JOB_ID") {
            let array = variable("SLURM_ARRAY_JOB_ID").zip(variable("SLURM_ARRAY_TASK_ID"));
            let id = array.map_or(job, |(array, task)| format!("{array}_{task}"));
            let restarts = variable("SLURM_RESTART_COUNT").and_then(|n| n.parse::<u32>().ok());
            let tries = again(restarts.and_then(|n| n.checked_add(1)));
            return Some(Self { words: format!("slurm {id}{tries}"), name: Some(format!("slurm-{id}")) });
        }
        // Each container has the first; the second is an Indexed Job's; the third is what recipes make of `spec.nodeName`.
        variable("KUBERNETES_SERVICE_HOST")?;
        let index = variable("JOB_COMPLETION_INDEX").map(|index| format!(" index {index}")).unwrap_or_default();
        let node = variable("NODE_NAME").map(|node| format!(" on {node}")).unwrap_or_default();
        Some(Self { words: format!("kubernetes{index}{node}"), name: None })
    }

    /// The one that started this process.
    pub fn here() -> Option<Self> {
        Self::of(|name| std::env::var(name).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Option<(String, Option<String>)> {
        let value = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        Engine::of(value).map(|engine| (engine.words, engine.name))
    }

    fn told(words: &str, name: Option<&str>) -> Option<(String, Option<String>)> {
        Some((words.to_owned(), name.map(str::to_owned)))
    }

    #[test]
    fn a_machine_without_an_engine_has_none() {
        assert_eq!(of(&[("PATH", "/bin"), ("NODE_NAME", "n"), ("AWS_BATCH_JOB_ID", "")]), None);
    }

    #[test]
    fn children_of_an_array_of_batch() {
        let id = ("AWS_BATCH_JOB_ID", "0a1b2c3d-1111-2222-3333-444455556666:3");
        let name = Some("batch-0a1b2c3d-3");
        assert_eq!(of(&[id, ("AWS_BATCH_JOB_ATTEMPT", "1")]), told(&format!("batch {}", id.1), name));
        let on_kubernetes = ("KUBERNETES_SERVICE_HOST", "10.0.0.1");
        let again = of(&[id, ("AWS_BATCH_JOB_ATTEMPT", "2"), on_kubernetes]);
        assert_eq!(again, told(&format!("batch {}, try 2", id.1), name));
        assert_eq!(of(&[("AWS_BATCH_JOB_ID", "0a1b-2")]), told("batch 0a1b-2", Some("batch-0a1b")));
    }

    #[test]
    fn tasks_of_an_array_of_slurm() {
        let job = [("SLURM_JOB_ID", "1240"), ("SLURM_ARRAY_JOB_ID", "1234"), ("SLURM_ARRAY_TASK_ID", "3")];
        assert_eq!(of(&job), told("slurm 1234_3", Some("slurm-1234_3")));
        let again: Vec<_> = job.into_iter().chain([("SLURM_RESTART_COUNT", "1")]).collect();
        assert_eq!(of(&again), told("slurm 1234_3, try 2", Some("slurm-1234_3")));
        assert_eq!(of(&job[..1]), told("slurm 1240", Some("slurm-1240")));
    }

    #[test]
    fn pods_of_kubernetes() {
        let pod = ("KUBERNETES_SERVICE_HOST", "10.0.0.1");
        assert_eq!(of(&[pod]), told("kubernetes", None));
        let all = [pod, ("JOB_COMPLETION_INDEX", "3"), ("NODE_NAME", "node-7")];
        assert_eq!(of(&all), told("kubernetes index 3 on node-7", None));
    }
}
