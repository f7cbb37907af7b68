//! `dayfly watch`: on a terminal, as lines, as events.

use dayfly_tests::programs::{JOB, file, inputs, seed};
use dayfly_tests::terminal::Terminal;
use dayfly_tests::{Layout, Rule, World, everywhere, on_endpoint};
use hyper::Method;
use rustix::process::Signal;
use serde_json::Value;

/// Types a watch and what shows, afterwards, how it left the terminal.
fn watch(terminal: &Terminal, url: &str) {
    terminal.enter("echo was here before; stty -g > before");
    terminal.enter(&format!("dayfly watch {url}; echo code $?; stty -g > after"));
}

/// The terminal is as it was: its modes, its settings, and what stood on it.
fn check_left(world: &World, terminal: &Terminal) {
    let screen = terminal.screen();
    assert_eq!(terminal.modes(), (false, true), "the usual screen, with its cursor:\n{screen}");
    assert!(screen.contains("was here before"), "what stood there stands there:\n{screen}");
    let settings = |name: &str| std::fs::read_to_string(world.folder().join(name)).expect("the terminal's settings");
    assert_eq!(settings("before"), settings("after"));
}

on_endpoint! {
    // Screens, not the store: one server will do.
    /// At the start, in the middle and at the end the screen shows the truth; it fits whatever the window is made.
    async fn a_screen_that_shows_the_truth(world: &World) {
        let mut job = Layout::new(12).lay_out(world).await;
        let Some(terminal) = Terminal::open(world, 110, 30) else { return };
        watch(&terminal, &job.url());
        world.until("the start", async || {
            let screen = terminal.screen();
            terminal.modes() == (true, false) && screen.contains("0 of 12 done") && screen.contains("idle: no agent is at work")
        })
        .await;
        let proxy = world.proxy(1).await;
        let gate = proxy.hold(Rule::on(Method::GET).key_ends(".dat").and(|asked| asked.key.contains("/in")).after(5));
        let mut agent = job.agent("one").through(&proxy).start();
        world.held(&mut agent, &gate).await;
        // Five are done; the sixth is in hand as long as it is held.
        let held = || async { job.bucket.held().await.expect("the semaphores").into_iter().find_map(|(_, s)| s.name) };
        let name = held().await.expect("a task in hand");
        world.until("the middle", async || {
            let screen = terminal.screen();
            let row = screen.lines().find(|line| line.starts_with("one-")).unwrap_or_default();
            screen.contains("5 of 12 done") && screen.contains("1 agent at work")
                && row.contains("working") && row.contains("1/1") && row.contains(&name)
        })
        .await;
        for (width, height) in [(60, 12), (140, 40), (20, 5)] {
            terminal.resize(width, height);
            world.until("the window's new size is filled", async || {
                let screen = terminal.screen();
                let lines: Vec<&str> = screen.lines().collect();
                let fits = lines.iter().all(|line| line.chars().count() <= width as usize);
                let whole = lines.iter().filter(|line| line.starts_with("Ctrl-C ends")).count() == 1
                    && lines.first().is_some_and(|line| line.starts_with("s3://test-bucket"));
                // Where there is room, the agent has its line, once.
                let rows = lines.iter().filter(|line| line.starts_with("one-")).count();
                fits && whole && (rows == 1 || height < 8)
            })
            .await;
        }
        terminal.resize(110, 30);
        gate.open();
        agent.ended().await.expect(0, &[]);
        world.until("the end", async || terminal.screen().contains("code 0")).await;
        let screen = terminal.screen();
        assert!(screen.contains("12 of 12 done") && screen.contains("state    over"), "{screen}");
        world.until("the shell is back", async || world.folder().join("after").exists()).await;
        check_left(world, &terminal);
        job.finish(&[]).await;
    }

    /// The bell rings, and the desktop's program, or else the terminal, is told, once the screen is left.
    async fn who_watches_is_told(world: &World) {
        let mut job = Layout::new(3).lay_out(world).await;
        let Some(terminal) = Terminal::open(world, 100, 30) else { return };
        let (written, shown) = (world.folder().join("written"), world.folder().join("shown"));
        std::fs::create_dir(world.folder().join("bin")).expect("a folder");
        let program = world.folder().join("bin/notify-send");
        std::fs::write(&program, format!("#!/bin/sh\nprintf '%s|' \"$@\" > {}\n", shown.display())).expect("a program");
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("a program");
        terminal.record(&written);
        terminal.enter(&format!("dayfly watch {} --notify bell --notify desktop; echo code $?", job.url()));
        world.until("the screen", async || terminal.modes().0 && terminal.screen().contains("0 of 3 done")).await;
        let said = || String::from_utf8_lossy(&std::fs::read(&written).unwrap_or_default()).into_owned();
        assert!(!said().contains('\x07'), "nobody is told before the end");
        job.agent("one").start().ended().await.expect(0, &[]);
        world.until("the end", async || terminal.screen().contains("code 0")).await;
        // tmux hands it on, wrapped, where it is set up so.
        let notice = "\x1bPtmux;\x1b\x1b]9;dayfly: s3://test-bucket/job/ is over: 3 of 3 done\x07\x1b\\";
        let left = said().find("\x1b[?1049l").expect("the screen is left");
        let after = said().split_off(left);
        assert!(after.contains(&format!("\x07{notice}")), "{after:?}");
        // Where the session has a desktop, its program is asked instead.
        terminal.enter(&format!("PATH={}/bin:$PATH DISPLAY=:7 dayfly watch {} --notify desktop; echo next $?", world.folder().display(), job.url()));
        world.until("the end", async || terminal.screen().contains("next 0")).await;
        let told = std::fs::read_to_string(&shown).expect("what the program was told");
        assert_eq!(told, "--app-name|dayfly|--|dayfly|s3://test-bucket/job/ is over: 3 of 3 done|");
        assert_eq!(said().matches("]9;dayfly").count(), 1);
        // Without a terminal nobody can be rung for, and that is said.
        world.dayfly(&["watch", &job.url(), "--notify", "bell"]).await.expect(0, &["nobody could be told here"]);
        job.finish(&[]).await;
    }

    /// Ctrl-C ends the watching and nothing else.
    async fn a_screen_is_left_on_ctrl_c(world: &World) {
        let job = Layout::new(3).unwatched().lay_out(world).await;
        let Some(terminal) = Terminal::open(world, 100, 24) else { return };
        watch(&terminal, &job.url());
        world.until("the screen", async || terminal.modes().0 && terminal.screen().contains("0 of 3 done")).await;
        terminal.press("C-c");
        world.until("the end", async || terminal.screen().contains("code 4")).await;
        assert!(terminal.screen().contains("the job goes on by itself"), "{}", terminal.screen());
        // The shell drops the rest of a line at Ctrl-C.
        terminal.enter("stty -g > after");
        world.until("the shell is back", async || {
            std::fs::read(world.folder().join("after")).is_ok_and(|text| !text.is_empty())
        })
        .await;
        check_left(world, &terminal);
    }

    /// A store that does not answer is said not to: what stands on the screen is old then.
    async fn a_silent_store_is_said_to_be(world: &World) {
        let mut job = Layout::new(3).lay_out(world).await;
        let proxy = world.proxy(1).await;
        let gate = proxy.hold(Rule::on(Method::GET).key_ends("/control.json").after(2));
        let url = proxy.url();
        let mut lines = world.start_dayfly_with(&["watch", &job.url()], |command| {
            command.env("AWS_ENDPOINT_URL", &url);
        });
        world.until("lines say it", async || lines.said().contains("no answer from the store for 5")).await;
        gate.open();
        let terminal = Terminal::open(world, 90, 24);
        let proxy = world.proxy(2).await;
        let (gate, url) = (proxy.hold(Rule::on(Method::GET).key_ends("/control.json").after(2)), proxy.url());
        if let Some(terminal) = &terminal {
            terminal.enter(&format!("AWS_ENDPOINT_URL={url} dayfly watch {}; echo code $?", job.url()));
            world.until("the screen says it", async || {
                terminal.screen().lines().any(|line| line.starts_with("Ctrl-C ends") && line.contains("; no answer from the store"))
            })
            .await;
        }
        gate.open();
        job.agent("one").start().ended().await.expect(0, &[]);
        let ended = lines.ended().await;
        ended.expect(0, &["3 of 3 done"]);
        if let Some(terminal) = &terminal {
            world.until("the end", async || terminal.screen().contains("code 0")).await;
        }
        job.finish(&[]).await;
    }

    /// Of a failure one line says what went wrong: the exception, and not where its traceback begins.
    async fn what_a_program_died_of_is_said_in_a_line(world: &World) {
        let script = "import sys\ndef load(name):\n    raise ValueError('no column price')\nload(sys.argv[1])\n";
        let script = file(world, "load.py", script);
        let folder = inputs(world, &[("a.csv", "1"), ("b.csv", "2")]);
        let job = seed(world, &["--inputs", &folder, "--max-attempts", "1", "--", "python3", &script, "{input}"]).await;
        let mut lines = world.start_dayfly(&["watch", JOB]);
        world.until("it watches", async || lines.said().contains("0 of 2 done")).await;
        let proxy = world.proxy(1).await;
        let gate = proxy.hold(Rule::on(Method::GET).key_ends("/b.csv"));
        let mut agents = ["one", "two"].map(|name| world.agent(&job.location, name).through(&proxy).start());
        let end = "ValueError: no column price (the program ended with exit code 1)";
        let line = format!("given up after 1 attempt: a.csv: {end}");
        world.until("it is said", async || lines.said().contains(&line)).await;
        if let Some(terminal) = Terminal::open(world, 60, 24) {
            terminal.enter(&format!("dayfly watch {JOB}"));
            world.until("the screen says it", async || {
                let screen = terminal.screen();
                screen.lines().any(|line| line.starts_with("  a.csv  ValueError: no column price (the prog"))
            })
            .await;
        }
        gate.open();
        for agent in &mut agents {
            agent.ended().await.expect(0, &[]);
        }
        lines.ended().await.expect(3, &[]);
        let status = world.dayfly(&["status", JOB]).await;
        let line = format!("a.csv  after 1 attempt: {}; log: s3://test-bucket/job/logs/", end.trim_end_matches(')'));
        status.expect(0, &[&line]);
        assert!(!status.said.contains("Traceback"), "{}", status.said);
        let attempt = "\n      the program ended with exit code 1: ValueError: no column price\n";
        world.dayfly(&["describe", JOB, "a.csv"]).await.expect(0, &["Traceback", "line 3, in load", attempt]);
    }
}

everywhere! {
    /// A drained job that nobody works on any more is not watched for ever.
    async fn a_drained_job_lets_its_watcher_go(world: &World) {
        let job = Layout::new(6).unwatched().lay_out(world).await;
        let proxy = world.proxy(1).await;
        let gate = proxy.hold(Rule::on(Method::GET).key_ends(".dat").and(|asked| asked.key.contains("/in")).times(1));
        let mut agent = job.agent("one").through(&proxy).start();
        world.held(&mut agent, &gate).await;
        let mut plain = world.start_dayfly(&["watch", &job.url()]);
        world.until("it sees the agent", async || plain.said().contains("agent one-")).await;
        world.dayfly(&["drain", &job.url(), "--why", "closing time"]).await.expect(0, &[]);
        world.until("it sees the drain", async || plain.said().contains("the job is draining: closing time")).await;
        assert!(plain.runs(), "the agent still has a task in hand");
        gate.open();
        agent.ended().await.expect(4, &[]);
        plain.ended().await.expect(4, &["agent one-", "drained: no agent is left", "dayfly resume", "1 of 6 done"]);
    }

    /// Who comes and goes between two looks is told of as well.
    async fn who_came_and_went_between_two_looks_is_told(world: &World) {
        let job = Layout::new(2).unwatched().lay_out(world).await;
        let mut lines = world.start_dayfly(&["watch", &job.url()]);
        world.until("it watches", async || lines.said().contains("0 of 2 done")).await;
        lines.signal(Signal::STOP);
        job.agent("one").start().ended().await.expect(0, &[]);
        lines.signal(Signal::CONT);
        lines.ended().await.expect(0, &["agent one-", " came, ", "is ended: the job is over"]);
    }

    /// As events: who came, what was given up, how it stands; each line JSON.
    async fn events_are_streamed(world: &World) {
        let folder = world.folder().join("inputs");
        std::fs::create_dir(&folder).expect("a folder");
        std::fs::write(folder.join("a"), "a").expect("an input");
        let (url, inputs) = ("s3://test-bucket/job", folder.display().to_string());
        let seed = ["seed", url, "--inputs", &inputs, "--max-attempts", "1", "--shell", "echo oh no >&2; exit 1"];
        world.dayfly(&seed).await.expect(0, &[]);
        let mut events = world.start_dayfly(&["watch", url, "--json"]);
        let mut lines = world.start_dayfly(&["watch", url]);
        world.until("both watch", async || !events.said().is_empty() && !lines.said().is_empty()).await;
        let job = world.job_bucket("test-bucket", "job").await;
        let proxy = world.proxy(1).await;
        let gate = proxy.hold(Rule::on(Method::GET).key_ends("/a"));
        let mut agent = world.agent(&job.location, "one").through(&proxy).start();
        world.held(&mut agent, &gate).await;
        world.until("both saw it come", async || {
            events.said().contains("agent_came") && lines.said().contains("agent one-")
        })
        .await;
        gate.open();
        agent.ended().await.expect(0, &[]);
        let ended = events.ended().await;
        ended.expect(3, &[]);
        let told: Vec<Value> = ended.said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let kinds: Vec<&str> = told.iter().filter_map(|event| event["event"].as_str()).collect();
        assert_eq!(kinds.len(), told.len(), "every line says what it is: {told:#?}");
        for kind in ["status", "agent_came", "given_up", "state"] {
            assert!(kinds.contains(&kind), "{kind}: {kinds:?}");
        }
        let given_up: Vec<&Value> = told.iter().filter(|event| event["event"] == "given_up").collect();
        assert_eq!(given_up.len(), 1, "once: {kinds:?}");
        assert!(given_up[0]["name"] == "a" && given_up[0]["error"].as_str().is_some_and(|e| e.contains("oh no")), "{given_up:#?}");
        let last = told.last().expect("a last line");
        assert_eq!((&last["event"], &last["state"]), (&Value::from("status"), &Value::from("over")), "{last:#}");
        lines.ended().await.expect(3, &["given up after 1 attempt: a: ", "0 of 1 done, 1 given up"]);
    }
}
