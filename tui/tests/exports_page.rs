//! The exported page in a browser: its script runs, its search finds what `print` prints, nothing is asked of a network.
//!
//! What a person would do is done by `page/user.js`, put into a copy of the page; the last test breaks the page on purpose.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use common::{PATIENCE, Scratch, Value, ipcscope};

/// Many events: the browser has to be quick with them.
const PIPELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/lessons/pipeline.ipcs");
/// Few, with signals and long texts.
const INTERRUPTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/lessons/eintr.ipcs");

/// What is looked for; capitals and the order of words do not matter.
const WORDS: [&str; 6] = ["sigusr1", "EINTR read", "blocked", "&lt;", "no such word", ""];

const BROWSERS: [&str; 3] = ["chromium-headless-shell", "chromium", "google-chrome"];

/// A browser, and a folder for what it keeps, for a while.
struct Browser {
    program: &'static str,
    folder: PathBuf,
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Browser {
    /// One that can show a page; `None`, said loudly, if there is none.
    fn find() -> Option<Self> {
        let mut why = "none installed".to_owned();
        for program in BROWSERS {
            let browser = Self { program, folder: Scratch::new("browser").0.clone() };
            fs::create_dir(&browser.folder).unwrap();
            // Some, confined, may not read where the tests write.
            match browser.open("<!DOCTYPE html><p id=\"empty\">") {
                Ok(output) if String::from_utf8_lossy(&output.stdout).contains("\"empty\"") => return Some(browser),
                Ok(output) if output.status.code() == Some(127) => {}
                Ok(output) => why = format!("{program}: {}", String::from_utf8_lossy(&output.stderr)),
                Err(error) => why = error.to_string(),
            }
        }
        println!("SKIPPED (no browser: {why})");
        None
    }

    /// Shows a page without a screen and without a network, and prints what has become of it.
    fn open(&self, page: &str) -> std::io::Result<Output> {
        let file = self.folder.join("page.html");
        fs::write(&file, page)?;
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", &PATIENCE.as_secs().to_string(), self.program]);
        // Root has no sandbox, and a container none to give.
        command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]);
        command.args(["--disable-background-networking", "--disable-component-update", "--disable-breakpad"]);
        command.args(["--host-resolver-rules=MAP * ~NOTFOUND", "--window-size=1280,500"]);
        command.args(["--virtual-time-budget=20000", "--dump-dom"]);
        command.arg(format!("--user-data-dir={}", self.folder.display())).env("HOME", &self.folder);
        command.arg(format!("file://{}", file.display())).output()
    }

    /// What a person who uses the page sees.
    fn use_page(&self, page: &str) -> Value {
        let words = serde_json::to_string(&WORDS).unwrap();
        // A block, so that its names are its own.
        let user = format!("<script>{{const WORDS = {words};\n{}}}</script>", include_str!("page/user.js"));
        let (before, after) = page.split_once("<meta charset=\"utf-8\">").unwrap();
        let output = self.open(&format!("{before}<meta charset=\"utf-8\">{user}{after}")).unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let outcome = text.split_once("<pre id=\"outcome\">").and_then(|(_, rest)| rest.split_once("</pre>"));
        let Some((outcome, _)) = outcome else {
            unreachable!("no outcome: {text:.2000}\n{}", String::from_utf8_lossy(&output.stderr))
        };
        serde_json::from_str(&plain(outcome)).unwrap()
    }
}

/// Text that was written as HTML.
fn plain(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}

fn output_of(arguments: &[&str]) -> String {
    let output = ipcscope().args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn page_of(lesson: &str) -> String {
    let file = Scratch::new("html");
    let path = file.0.to_str().unwrap();
    output_of(&["export", lesson, "--to", "html", "-o", path]);
    file.read()
}

/// What may be found: the lines of `print`, and the arrows of the picture, without their tags.
fn texts(lesson: &str) -> [Vec<String>; 2] {
    // Changes of state are printed where they are asked for.
    let events =
        output_of(&["print", "--filter", "kind:state | !kind:state", lesson]).lines().map(str::to_lowercase).collect();
    let picture = output_of(&["export", lesson, "--to", "svg"]);
    let arrows = picture.lines().filter(|line| line.starts_with("<g class=\"arrow\">"));
    let arrows = arrows.map(|line| {
        let parts = line.split('<').filter_map(|part| part.split_once('>'));
        plain(&parts.map(|(_, text)| text).collect::<String>()).to_lowercase()
    });
    [events, arrows.collect()]
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|each| each.as_f64().unwrap()).collect()
}

/// Marks of the time line: seconds and place.
fn marks(value: &Value) -> Vec<(f64, f64)> {
    let mark =
        |mark: &Value| (mark[0].as_str().unwrap().trim_end_matches(" s").parse().unwrap(), mark[1].as_f64().unwrap());
    value.as_array().unwrap().iter().map(mark).collect()
}

fn works(browser: &Browser, lesson: &str) {
    let seen = browser.use_page(&page_of(lesson));
    assert_eq!(seen["errors"], serde_json::json!([]), "{seen}");
    assert_eq!(seen["requests"], serde_json::json!([]), "{seen}");

    // There is something to see.
    for picture in ["diagram", "timeline"] {
        assert!(numbers(&seen[picture]).iter().all(|size| *size > 30.0), "{picture}: {seen}");
    }
    let count = |name: &str| seen[name].as_u64().unwrap();
    assert!(count("lanes") > 1 && count("spans") > count("lanes") && count("flat") == 0, "{seen}");
    let scrolled = seen["scrolled"].as_f64().unwrap();
    assert!(scrolled > 0.0 && seen["head"].as_f64().unwrap().abs() <= 2.0, "the names stay: {seen}");

    // Time, far and near: marks in order, at their places, as many as there is room for.
    assert!((seen["magnified"].as_f64().unwrap() - 64.0).abs() < 0.1, "{seen}");
    let (far, near) = (marks(&seen["far"]), marks(&seen["near"]));
    for marks in [&far, &near] {
        assert!((3..20).contains(&marks.len()), "{seen}");
        assert!(marks.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[1].1 - pair[0].1 > 85.0), "{seen}");
    }
    assert!(far[0].0 == 0.0 && near[0].0 > far.last().unwrap().0 * 0.9, "{seen}");
    let edges = numbers(&seen["edges"]);
    let last = near.last().unwrap().1;
    assert!(last > edges[0] && last <= edges[1], "the end is in sight: {seen}");

    // `/` goes to the search, which finds what is there.
    assert_eq!(seen["focused"], "find");
    let texts = texts(lesson);
    let events = output_of(&["print", "--json", lesson]).lines().count() - 2;
    assert_eq!(texts[0].len(), events, "a line for each event");
    for words in WORDS {
        let expected = texts.each_ref().map(|texts| {
            let fits = |text: &&String| words.to_lowercase().split(' ').all(|word| text.contains(word));
            texts.iter().filter(fits).count()
        });
        let search = &seen["searches"][words];
        assert_eq!(search["found"], serde_json::json!(expected), "{words:?}: {seen}");
        let [events, arrows] = texts.each_ref().map(Vec::len);
        let told = format!("{} of {events} events, {} of {arrows} arrows", expected[0], expected[1]);
        assert_eq!(search["told"], told, "{words:?}");
        // No gaps where something was.
        let (tall, whole) = (numbers(&search["tall"]), numbers(&seen["searches"][""]["tall"]));
        let row = whole[0] / events as f64;
        assert!((tall[0] - row * expected[0] as f64).abs() < 1.0, "{words:?}: {seen}");
        let gone = 26.0 * (arrows - expected[1]) as f64;
        assert!((whole[1] - tall[1] - gone).abs() < 1.0, "{words:?}: {seen}");
    }
    assert!(seen["searches"]["sigusr1"]["found"][0].as_u64().unwrap() > 2, "{seen}");
}

#[test]
fn a_page_works_in_a_browser() {
    let Some(browser) = Browser::find() else { return };
    works(&browser, INTERRUPTED);
    works(&browser, PIPELINE);
}

/// The tests above would find it out.
#[test]
fn a_page_that_is_broken_is_found_out() {
    let Some(browser) = Browser::find() else { return };
    let page = page_of(INTERRUPTED);
    let errors = |page: &str| browser.use_page(page)["errors"].to_string();
    let broken = page.replace("function search()", "function search((");
    assert!(broken != page && errors(&broken).contains("error: "), "{}", errors(&broken));
    let asking = page.replace("<h1>", "<img src=\"http://127.0.0.1:9/\"><h1>");
    assert!(asking != page && errors(&asking).contains("securitypolicyviolation: http"), "{}", errors(&asking));
    // Without a policy, it would be a request.
    let careless = asking.replace("default-src 'none'", "");
    let seen = browser.use_page(&careless);
    assert!(seen["requests"].to_string().contains("127.0.0.1:9"), "{seen}");
}
