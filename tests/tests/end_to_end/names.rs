//! Lists as people write them, and names as they give them.

use dayfly_shared::keys::View;
use dayfly_tests::{Layout, World, content, everywhere};

/// Names that are odd and good.
fn odd() -> Vec<String> {
    let mut names: Vec<String> = [
        "a b.txt",
        " lead",
        "trail ",
        "a+b",
        "100%",
        "a%20b",
        "%2e%2e",
        "?query=1&x",
        "#hash",
        "<a>&amp;\"'",
        "back\\slash",
        "~tilde",
        "star*",
        "semi;colon",
        "comma,",
        "[x]{y}",
        "c:colon",
        "@at",
        "=eq",
        "ü",
        "e\u{301}",
        "日本語.txt",
        "🎉",
        "in/x.dat",
        "in.dat",
        "inner.dat",
        "IN0.DAT",
        "deep/er/still/x",
        "-dash",
        ".hidden",
        "...",
        "a..b",
        "con",
        "planet",
        "out",
        "a.lock",
    ]
    .map(str::to_owned)
    .into();
    // With "job/" and "out/" before it, the longest that a key can hold; and one of many bytes a letter.
    names.push("n".repeat(1016));
    names.push("ß".repeat(400));
    names
}

everywhere! {
    /// Names with everything that a key may hold.
    async fn odd_names_are_done(world: &World) {
        let names = odd();
        let inputs = names.iter().enumerate().map(|(n, name)| (name.clone(), content::of(name, content::size(n))));
        let mut job = Layout::of(inputs).lay_out(world).await;
        let mut agents = [job.agent("one").start(), job.agent("two").arg("--slots").arg("4").start()];
        for agent in &mut agents {
            agent.ended().await.expect(0, &[]);
        }
        assert_eq!(job.lines(View::Completed).await.len(), names.len());
        job.finish(&[]).await;
    }

    /// Lines that cannot be tasks are given up at once, each with its reason, and the rest is done.
    async fn lines_that_cannot_be_tasks_are_given_up(world: &World) {
        let long = "x".repeat(1021);
        let bad: Vec<(&str, &str)> = vec![
            ("../up", "'..'"),
            ("a/../b", "'..'"),
            ("./here", "'.'"),
            ("..", "'..'"),
            ("/root", "begins with '/'"),
            ("tab\there", "U+0009"),
            ("bell\u{7}", "U+0007"),
            ("del\u{7f}", "U+007F"),
            ("tasklist.txt", "own objects"),
            ("job.json", "own objects"),
            ("plan/0001.txt", "own objects"),
            ("semaphores/x", "own objects"),
            ("kernel.dat", "kernel"),
            ("out7.dat", "output"),
            ("out/x", "output"),
            (&long, "1024"),
        ];
        let mut list = String::from("in0.dat\n");
        for (name, _) in &bad {
            list += &format!("{name}\n");
        }
        list += "in1.dat\n";
        let mut job = Layout::new(2).list(list).lay_out(world).await;
        job.agent("one").start().ended().await.expect(0, &["given up"]);
        let letters = job.bucket.dead_letters().await.expect("the dead letters");
        for (name, word) in &bad {
            let letter = letters.iter().find(|letter| letter.name == *name).expect(name);
            assert!(letter.error.contains(word) && letter.attempts.is_empty(), "{letter:?}");
        }
        let names: Vec<&str> = bad.iter().map(|(name, _)| *name).collect();
        job.finish(&names).await;
    }

    /// A list out of an editor on another system, edited in a hurry.
    async fn lists_are_read_as_people_write_them(world: &World) {
        let list = "\u{feff}in0.dat\r\n\r\nin1.dat\r\n   \n\nin2.dat\nin1.dat\n\t\nin0.dat\r\nin3.dat";
        let mut job = Layout::new(4).list(list).lay_out(world).await;
        job.agent("one").start().ended().await.expect(0, &[]);
        assert_eq!(job.bucket.results().await.expect("the results").len(), 4, "a repeated line is one task");
        job.finish(&[]).await;
    }

    /// Bytes that are no text: that line is given up, and the rest is done.
    async fn a_line_that_is_no_text_is_given_up(world: &World) {
        let mut job = Layout::new(2).list(b"in0.dat\nbad\xff\xfename\nin1.dat\n".to_vec()).lay_out(world).await;
        job.agent("one").start().ended().await.expect(0, &["given up"]);
        let letters = job.bucket.dead_letters().await.expect("the dead letters");
        assert!(letters.len() == 1 && letters[0].error.contains("UTF-8"), "{letters:?}");
        job.finish(&["bad\u{fffd}\u{fffd}name"]).await;
    }

    /// A list without a line is a finished job.
    async fn an_empty_list_is_a_finished_job(world: &World) {
        let mut job = Layout::new(0).lay_out(world).await;
        job.agent("one").start().ended().await.expect(0, &["over"]);
        job.finish(&[]).await;
    }

    /// An empty input has an empty output.
    async fn an_empty_input_has_an_empty_output(world: &World) {
        let mut job = Layout::of([("in0.dat".to_owned(), Vec::new())]).lay_out(world).await;
        job.agent("one").start().ended().await.expect(0, &[]);
        assert_eq!(job.output("in0.dat").await, Some(Vec::new()));
        job.finish(&[]).await;
    }
}
