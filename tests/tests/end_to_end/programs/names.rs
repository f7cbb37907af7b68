//! Inputs that no file can be called like: they are given up, and the agents go on.

use dayfly_shared::job::JobSettings;
use dayfly_shared::keys::View;
use dayfly_shared::work::{OutputKind, ProcessorSettings, ProgramSettings};
use dayfly_tests::{Job, Layout, World, everywhere, on_endpoint};

/// A job whose program says how long its input is; these are its inputs.
async fn counting<'w>(world: &'w World, output: OutputKind, names: &[&str]) -> Job<'w> {
    let to = if output == OutputKind::File { "wc -c < {input} > {output}" } else { "wc -c < {input}" };
    let settings = JobSettings {
        processor: ProcessorSettings::Command { argv: vec![to.to_owned()], shell: true },
        program: ProgramSettings { output, ..ProgramSettings::default() },
        inputs: Some("s3://test-bucket/inputs/".parse().expect("a place")),
        lease_ttl_seconds: 5,
        ..JobSettings::default()
    };
    let inputs = names.iter().map(|name| ((*name).to_owned(), b"four".to_vec()));
    Layout::of(inputs).settings(Some(settings)).kernel(None).unwatched().lay_out(world).await
}

/// These are given up, with these words, and none of them was tried; the others are done.
async fn given_up(job: &Job<'_>, bad: &[(&str, &str)], good: &[&str]) {
    let letters = job.bucket.dead_letters().await.expect("the dead letters");
    assert_eq!(letters.len(), bad.len(), "{letters:?}");
    for (name, words) in bad {
        let letter = letters.iter().find(|letter| letter.name == *name).expect(name);
        assert!(letter.error.contains(words) && letter.attempts.is_empty(), "{letter:?}");
    }
    let (mut done, mut good) = (job.lines(View::Completed).await, good.to_vec());
    done.sort();
    good.sort();
    assert_eq!(done, good);
    for name in &good {
        let text = job.output(name).await.expect("an output");
        assert_eq!(String::from_utf8_lossy(&text).trim(), "4");
    }
}

everywhere! {
    /// One name is too long for a file, one ends with a slash: neither stops an agent, and the longest that is possible is done.
    async fn inputs_that_no_file_can_be_called_like_are_given_up(world: &World) {
        let (long, longest) = (format!("deep/{}", "n".repeat(256)), "n".repeat(255));
        let job = counting(world, OutputKind::Stdout, &["a", &longest, &long, "sub/"]).await;
        job.agent("one").start().ended().await.expect(0, &["given up"]);
        given_up(&job, &[(&long, "256 bytes"), ("sub/", "ends with '/'")], &["a", &longest]).await;
    }
}

on_endpoint! {
    /// The name of an output's file can be longer than its input's.
    async fn an_output_that_no_file_can_be_called_like_is_given_up(world: &World) {
        let [long, longest] = [250, 249].map(|n| format!("in{}.dat", "n".repeat(n - 1)));
        let job = counting(world, OutputKind::File, &[&longest, &long]).await;
        job.agent("one").start().ended().await.expect(0, &["given up"]);
        given_up(&job, &[(&long, "file of its output would have a name of 256 bytes")], &[&longest]).await;
    }
}
