//! Objects that are inputs: what lies in a place, less what a job keeps there.

use std::collections::HashMap;

use dayfly_shared::job::{JobSettings, Location};
use dayfly_shared::keys::{is_output_name, is_own};
use dayfly_shared::store::{Entry, Store, StoreExt as _};

use crate::failure::Result;

/// What lies in a place, by name.
pub type Listing = HashMap<String, Entry>;

/// Everything below `place`, by name relative to it.
///
/// # Errors
/// A store that refuses.
pub async fn list(store: &dyn Store, place: &Location) -> Result<Listing> {
    let entries = store.list_all(place.prefix()).await?;
    let named = |entry: Entry| Some((entry.key.strip_prefix(place.prefix())?.to_owned(), entry));
    Ok(entries.into_iter().filter_map(named).collect())
}

/// What stands under one key.
///
/// # Errors
/// A store that refuses.
pub async fn entry(store: &dyn Store, key: &str) -> Result<Option<Entry>> {
    let meta = store.head(key).await?;
    Ok(meta.map(|meta| Entry { key: key.to_owned(), etag: meta.etag, size: meta.size, modified: meta.modified }))
}

/// The names in the inputs' place that are inputs of the job at `job`, sorted. Left out are a job's own objects, its
/// kernel and its outputs, be it this job's or that of another job whose place this is; what belongs to this job where
/// that lies deeper; and the empty objects that tools put up for folders.
pub fn inputs(listing: &Listing, settings: &JobSettings, job: &Location) -> Vec<String> {
    let place = settings.inputs(job);
    let outputs = settings.outputs(job);
    let kernel = settings.processor.kernel();
    let of_a_job = place == job || ["job.json", "tasklist.txt"].iter().any(|name| listing.contains_key(*name));
    let deeper = |other: &Location| {
        (other.bucket() == place.bucket() && other != place)
            .then(|| other.prefix().strip_prefix(place.prefix()).map(str::to_owned))
            .flatten()
    };
    let below: Vec<String> = [deeper(job), deeper(outputs)].into_iter().flatten().collect();
    let mut names: Vec<String> = listing
        .iter()
        .filter(|(name, entry)| !(name.is_empty() || name.ends_with('/') && entry.size == 0))
        .filter(|(name, _)| !below.iter().any(|folder| name.starts_with(folder.as_str())))
        .filter(|(name, _)| !(of_a_job && (is_own(name) || is_output_name(name) || kernel == Some(name.as_str()))))
        .filter(|(name, _)| !(place == outputs && is_output_name(name)))
        .map(|(name, _)| name.clone())
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use dayfly_shared::store::ETag;

    use super::*;

    fn listing(names: &[&str]) -> Listing {
        let entry = |name: &str| Entry { key: name.to_owned(), etag: ETag::new("e"), size: 0, modified: None };
        names.iter().map(|name| ((*name).to_owned(), entry(name))).collect()
    }

    #[test]
    fn a_jobs_own_objects_are_no_inputs() {
        let job: Location = "s3://bucket/job".parse().unwrap();
        let settings = JobSettings::default();
        let all = ["in0.dat", "kernel.dat", "out0.dat", "out/x", "tasklist.txt", "plan/0001.txt", "sub/", "sub/a", ""];
        assert_eq!(inputs(&listing(&all), &settings, &job), ["in0.dat", "sub/a"]);
    }

    #[test]
    fn a_place_apart_may_hold_any_name_unless_it_is_a_job() {
        let job: Location = "s3://bucket/job".parse().unwrap();
        let settings = JobSettings { inputs: Some("s3://other/".parse().unwrap()), ..JobSettings::default() };
        assert_eq!(inputs(&listing(&["kernel.dat", "out0.dat"]), &settings, &job), ["kernel.dat", "out0.dat"]);
        let all = ["kernel.dat", "out0.dat", "in0.dat", "tasklist.txt"];
        assert_eq!(inputs(&listing(&all), &settings, &job), ["in0.dat"]);
    }

    #[test]
    fn a_job_below_its_inputs_is_left_out() {
        let job: Location = "s3://bucket/data/jobs/one".parse().unwrap();
        let settings = JobSettings {
            inputs: Some("s3://bucket/data".parse().unwrap()),
            outputs: Some("s3://bucket/data/results".parse().unwrap()),
            ..JobSettings::default()
        };
        let all = ["a", "jobs/one/job.json", "results/out/a", "jobs/other"];
        assert_eq!(inputs(&listing(&all), &settings, &job), ["a", "jobs/other"]);
    }
}
