//! Races between processes: several children of this test contend on one store, as agents do. By default in a directory
//! of the test's own; `DAYFLY_TEST_STORE` names another store.

#[path = "races/racer.rs"]
mod racer;
#[path = "support/rig.rs"]
mod rig;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use dayfly_shared::ids::Nonce;
use dayfly_shared::rng::{Dice, StdDice};
use dayfly_shared::store::{Store, StoreExt};
use rig::Spec;

const PROCESSES: usize = 4;
const ROUNDS: usize = 300;

/// Not a test: what a child of the others runs.
#[tokio::test]
#[ignore = "a contender, started by the races"]
async fn contender() {
    racer::contend().await;
}

/// The contenders, in step: each round begins for all at once, when the last has ended for all.
struct Field {
    spec: Spec,
    prefix: String,
    racers: Vec<(Child, ChildStdin, BufReader<ChildStdout>)>,
    _dir: tempfile::TempDir,
}

impl Field {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let spec = match std::env::var(rig::STORE) {
            Ok(text) => text.parse().unwrap(),
            Err(_) => Spec::Local(dir.path().to_owned()),
        };
        let run: Nonce = StdDice::from_os().nonce();
        let prefix = format!("races/{run}/");
        let racers = (0..PROCESSES)
            .map(|who| {
                let mut child = rig::again("contender")
                    .env(racer::WHO, who.to_string())
                    .env(racer::PREFIX, &prefix)
                    .env(rig::STORE, spec.to_string())
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .spawn()
                    .unwrap();
                let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
                (child, input, BufReader::new(output))
            })
            .collect();
        Self { spec, prefix, racers, _dir: dir }
    }

    /// Lets all run `command`, and gives their answers.
    fn round(&mut self, command: &str) -> Vec<String> {
        for (_, input, _) in &mut self.racers {
            writeln!(input, "{command}").unwrap();
        }
        self.racers.iter_mut().map(|(_, _, output)| answer(output)).collect()
    }

    /// Ends the contenders, and gives the store that they left.
    async fn end(self) -> (std::sync::Arc<dyn Store>, String, tempfile::TempDir) {
        for (mut child, input, _) in self.racers {
            drop(input);
            assert!(child.wait().unwrap().success());
        }
        (self.spec.open().await, self.prefix, self._dir)
    }
}

/// A contender's next answer, among what the test harness prints.
fn answer(output: &mut impl BufRead) -> String {
    loop {
        let mut line = String::new();
        assert!(output.read_line(&mut line).unwrap() > 0, "a contender ended early");
        // The harness prints the test's name without ending the line.
        if let Some((_, answer)) = line.trim_end().split_once(racer::ANSWER) {
            return answer.to_owned();
        }
    }
}

fn won(answers: &[String]) -> Vec<usize> {
    (0..answers.len()).filter(|who| answers[*who] == "won").collect()
}

async fn one_winner(kind: &str) {
    let mut field = Field::start();
    let mut wins = vec![0; PROCESSES];
    let mut winners = Vec::new();
    for round in 0..ROUNDS {
        let answers = field.round(&format!("{kind} {round}"));
        let won = won(&answers);
        assert_eq!(won.len(), 1, "round {round}: {answers:?}");
        wins[won[0]] += 1;
        winners.push(won[0]);
    }
    let (store, prefix, _dir) = field.end().await;
    for (round, winner) in winners.into_iter().enumerate() {
        let (_, body) = store.read(&format!("{prefix}{round}")).await.unwrap().unwrap();
        assert_eq!(body, format!("{winner}"), "round {round}: the winner's body does not stand");
    }
    println!("{ROUNDS} rounds of {PROCESSES} processes, won by each: {wins:?}");
    assert!(wins.iter().filter(|wins| **wins > 0).count() > 1, "one process won all rounds: there was no race");
}

#[tokio::test]
async fn of_many_creators_one_wins() {
    one_winner("create").await;
}

#[tokio::test]
async fn of_many_completions_one_wins() {
    one_winner("complete").await;
}

/// Every process counts as fast as it can; all in one object.
#[tokio::test]
async fn no_step_of_a_counter_is_lost() {
    let mut field = Field::start();
    let answers = field.round(&format!("count {ROUNDS}"));
    let rejected: Vec<u64> = answers.iter().map(|rejected| rejected.parse().unwrap()).collect();
    let (store, prefix, _dir) = field.end().await;
    let (_, body) = store.read(&format!("{prefix}counter")).await.unwrap().unwrap();
    assert_eq!(body, vec![ROUNDS.to_string(); PROCESSES].join(" "));
    println!("{ROUNDS} steps of each of {PROCESSES} processes, tries rejected: {rejected:?}");
    assert!(rejected.iter().sum::<u64>() > 0, "nobody was ever rejected: there was no race");
}

/// Two update and two delete one version at once: one of them goes through, and what stands is as it says.
#[tokio::test]
async fn of_updates_and_deletes_one_goes_through() {
    let mut field = Field::start();
    let store = field.spec.open().await;
    let (mut updates, mut deletes) = (0, 0);
    for round in 0..ROUNDS {
        let key = format!("{}{round}", field.prefix);
        let put = store.put(&key, "contended".into(), &Default::default(), &racer::CREATE).await.unwrap();
        let racer::Applied(etag) = put else { panic!("{put:?}") };
        let answers = field.round(&format!("replace {round} {etag}"));
        let won = won(&answers);
        assert_eq!(won.len(), 1, "round {round}: {answers:?}");
        let stands = store.read(&key).await.unwrap().map(|(_, body)| body);
        // The even ones update, the odd ones delete.
        let expected = (won[0].is_multiple_of(2)).then(|| won[0].to_string().into());
        assert_eq!(stands, expected, "round {round}");
        if won[0].is_multiple_of(2) { updates += 1 } else { deletes += 1 }
    }
    field.end().await;
    println!("{ROUNDS} rounds of {PROCESSES} processes: {updates} updates and {deletes} deletes won");
}

/// Each process puts a key that is a folder of another's, or below it, all at once, and takes it away again.
#[tokio::test]
async fn objects_and_folders_of_one_name_come_together() {
    let mut field = Field::start();
    let store = field.spec.open().await;
    for round in 0..ROUNDS {
        let answers = field.round(&format!("folders {round}"));
        assert_eq!(won(&answers).len(), PROCESSES, "round {round}: {answers:?}");
        let prefix = format!("{}{round}/", field.prefix);
        let mut listed = Vec::new();
        for entry in store.list_all(&prefix).await.unwrap() {
            let (_, body) = store.read(&entry.key).await.unwrap().unwrap();
            listed.push((entry.key[prefix.len()..].to_owned(), String::from_utf8(body.to_vec()).unwrap()));
        }
        let mut expected: Vec<_> = (0..PROCESSES).map(|who| (racer::folder_key(who), who.to_string())).collect();
        expected.sort();
        assert_eq!(listed, expected, "round {round}");
    }
    // Where the same names come and go, again and again.
    for round in 0..ROUNDS {
        let answers = field.round("churn");
        assert_eq!(won(&answers).len(), PROCESSES, "round {round}: {answers:?}");
    }
    let (store, prefix, _dir) = field.end().await;
    assert_eq!(store.list_all(&format!("{prefix}churn/")).await.unwrap(), []);
}
