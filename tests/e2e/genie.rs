//! The binary and what a run of it left behind.

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::material::Scratch;

/// The default embedding model.
pub(crate) const E5: &str = "multilingual-e5-small";
/// A quick one, for English.
pub(crate) const MINILM: &str = "all-minilm-l6-v2";
/// The default language model.
pub(crate) const QWEN: &str = "qwen2.5-coder-1.5b-instruct";
/// A quick one.
pub(crate) const SMOLLM: &str = "smollm2-135m-instruct";

/// A command that takes longer is stuck, also on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(240);
const POLL: Duration = Duration::from_millis(10);

/// Held by tests that keep all cores busy or measure time, so that they don't
/// slow each other down.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An installation with the quick embedding model, and the articles beside it.
pub(crate) fn with_articles() -> Option<(Scratch, Genie)> {
    let models = models(&[MINILM])?;
    let scratch = Scratch::new();
    let genie = Genie::quick(&scratch.home(), &models);
    scratch.articles();
    Some((scratch, genie))
}

/// The folder of models, if these are installed in it. Says so if not.
pub(crate) fn models(names: &[&str]) -> Option<PathBuf> {
    let Some(folder) = ["GENIE_MODELS", "GENIE_TEST_MODELS"]
        .into_iter()
        .find_map(std::env::var_os)
        .map(PathBuf::from)
    else {
        eprintln!("skipped: GENIE_MODELS is not set");
        return None;
    };
    for name in names {
        if !folder.join(name).join("installed.json").exists() {
            eprintln!("skipped: the model {name} is not in {}", folder.display());
            return None;
        }
    }
    Some(folder)
}

/// The program that the tests are about, built beside them.
pub(crate) fn program() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let program = test
        .ancestors()
        .nth(2)
        .expect("tests lie in deps/")
        .join(format!("genie{}", std::env::consts::EXE_SUFFIX));
    assert!(
        program.exists(),
        "{} is not built; run `cargo build --release --workspace` first, or ./test",
        program.display()
    );
    program
}

/// An installation: a home, models, and settings in the environment.
#[derive(Debug, Clone)]
pub(crate) struct Genie {
    home: PathBuf,
    folder: PathBuf,
    environment: Vec<(&'static str, String)>,
}

impl Genie {
    /// The installation at `home`, without any models.
    pub(crate) fn bare(home: &Path) -> Self {
        Self {
            home: home.to_owned(),
            folder: home.parent().unwrap_or(home).to_owned(),
            environment: vec![(
                "GENIE_MODELS",
                home.join("no-models").to_string_lossy().into_owned(),
            )],
        }
    }

    /// The installation at `home` with the quick embedding model and without
    /// a language model.
    pub(crate) fn quick(home: &Path, models: &Path) -> Self {
        Self::bare(home)
            .set("GENIE_MODELS", models.to_string_lossy())
            .set("GENIE_EMBEDDING_MODEL", MINILM)
            .set("GENIE_CHAT_MODEL", "none")
    }

    /// The installation at `home` as it is by default.
    pub(crate) fn default_models(home: &Path, models: &Path) -> Self {
        Self::bare(home).set("GENIE_MODELS", models.to_string_lossy())
    }

    /// With this variable.
    pub(crate) fn set(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.environment.retain(|(known, _)| *known != name);
        self.environment.push((name, value.into()));
        self
    }

    /// The same settings for another home.
    pub(crate) fn at(mut self, home: &Path) -> Self {
        home.clone_into(&mut self.home);
        self
    }

    /// Run in this folder, so that documents have short names.
    pub(crate) fn within(mut self, folder: &Path) -> Self {
        folder.clone_into(&mut self.folder);
        self
    }

    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    /// Starts a command.
    pub(crate) fn start<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Running {
        let mut command = self.settled(Command::new(program()));
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let shown = arguments
            .iter()
            .map(|argument| argument.as_ref().to_string_lossy())
            .collect::<Vec<_>>()
            .join(" ");
        let mut child = command.spawn().expect("genie starts");
        let out = Output::of(child.stdout.take().expect("a pipe"));
        let err = Output::of(child.stderr.take().expect("a pipe"));
        Running {
            shown,
            child,
            out,
            err,
        }
    }

    /// The command with the settings of this installation in its environment,
    /// for programs that start `genie` themselves.
    pub(crate) fn settled(&self, mut command: Command) -> Command {
        // Settings of whoever runs the tests have no business here.
        for (name, _) in std::env::vars_os() {
            let known = name.to_string_lossy();
            if known.starts_with("GENIE_") || known.starts_with("OTEL_") {
                command.env_remove(name);
            }
        }
        command
            .env("GENIE_HOME", &self.home)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.folder);
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Finished {
        self.start(arguments).wait(LIMIT)
    }

    /// Runs a command that has to succeed and print JSON.
    pub(crate) fn json<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Value {
        let finished = self.run(arguments).ended(0);
        serde_json::from_str(&finished.out)
            .unwrap_or_else(|error| panic!("{error} in the output of {finished:?}"))
    }

    /// Documents and number of chunks of the index.
    pub(crate) fn index(&self) -> Index {
        let documents = self.json(&["doc", "list", "--json"]);
        let checks: Value =
            serde_json::from_str(&self.run(&["doctor", "--json"]).out).expect("JSON of the doctor");
        let check = checks
            .as_array()
            .expect("a list")
            .iter()
            .find(|check| check["name"] == "index")
            .expect("a verdict on the index");
        assert_eq!(check["verdict"], "ok", "{check}");
        let counted = check["detail"].as_str().expect("a sentence");
        Index {
            counted: counted.rsplit(": ").next().unwrap_or_default().to_owned(),
            documents,
        }
    }
}

/// What an index holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Index {
    pub(crate) documents: Value,
    counted: String,
}

impl Index {
    pub(crate) fn len(&self) -> usize {
        self.documents.as_array().expect("a list").len()
    }

    pub(crate) fn find(&self, uri_end: &str) -> Option<&Value> {
        self.documents.as_array()?.iter().find(|document| {
            document["uri"]
                .as_str()
                .is_some_and(|uri| uri.ends_with(uri_end))
        })
    }
}

/// A pipe that is emptied while the process runs.
struct Output {
    text: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Output {
    fn of(mut pipe: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&text);
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = pipe.read(&mut buffer) {
                into.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .extend_from_slice(&buffer[..read]);
            }
        });
        Self {
            text,
            reader: Some(reader),
        }
    }

    fn so_far(&self) -> String {
        let text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&text).into_owned()
    }

    fn whole(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            reader.join().expect("a reader does not panic");
        }
        self.so_far()
    }
}

/// A process, killed when it is dropped.
pub(crate) struct Running {
    shown: String,
    child: Child,
    out: Output,
    err: Output,
}

impl Running {
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_some()
    }

    /// Polls until `found` gives something, while the process runs.
    pub(crate) fn until<T>(&mut self, what: &str, found: impl Fn(&str) -> Option<T>) -> T {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(value) = found(&self.out.so_far()) {
                return value;
            }
            let ended = self.has_ended();
            assert!(
                !ended && Instant::now() < deadline,
                "`genie {}` {} before {what}:\n{}{}",
                self.shown,
                if ended { "ended" } else { "took too long" },
                self.out.so_far(),
                self.err.so_far(),
            );
            std::thread::sleep(POLL);
        }
    }

    /// Sends a signal by its name, as `kill` does.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("sh")
            .args(["-c", &format!("kill -{name} {}", self.id())])
            .status()
            .expect("a shell");
        assert!(status.success(), "{name} could not be sent");
    }

    /// Ends it at once, as a power cut would; `false` where it had ended.
    pub(crate) fn kill(mut self) -> bool {
        let was_running = !self.has_ended();
        // On Unix this is SIGKILL.
        self.child.kill().ok();
        self.child.wait().expect("a child");
        was_running
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self, limit: Duration) -> Finished {
        let deadline = Instant::now() + limit;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            if Instant::now() > deadline {
                self.child.kill().ok();
                panic!(
                    "`genie {}` did not end within {limit:?}:\n{}{}",
                    self.shown,
                    self.out.so_far(),
                    self.err.so_far()
                );
            }
            std::thread::sleep(POLL);
        };
        Finished {
            shown: std::mem::take(&mut self.shown),
            code: status.code(),
            out: self.out.whole(),
            err: self.err.whole(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A process that has ended.
#[derive(Debug)]
pub(crate) struct Finished {
    shown: String,
    code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Finished {
    /// It has to have ended with this exit code.
    #[track_caller]
    pub(crate) fn ended(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            Some(code),
            "exit code of `genie {}`:\n{}{}",
            self.shown,
            self.out,
            self.err
        );
        self
    }

    /// It has to have ended with exit code 1 and one clear sentence that has
    /// all of this in it.
    #[track_caller]
    pub(crate) fn refused(self, parts: &[&str]) -> Self {
        let finished = self.ended(1);
        let sentence = finished.sentence();
        for part in parts {
            assert!(
                sentence.contains(part),
                "no {part:?} in what `genie {}` said: {sentence}",
                finished.shown
            );
        }
        finished
    }

    /// The one line of its error.
    #[track_caller]
    pub(crate) fn sentence(&self) -> &str {
        assert!(
            !self.err.contains("panicked") && !self.err.contains("RUST_BACKTRACE"),
            "`genie {}` panicked:\n{}",
            self.shown,
            self.err
        );
        let sentences: Vec<_> = self
            .err
            .lines()
            .filter(|line| line.starts_with("error: "))
            .collect();
        assert_eq!(
            sentences.len(),
            1,
            "`genie {}` said this, and not one error:\n{}",
            self.shown,
            self.err
        );
        sentences[0]
    }

    /// What was printed as one JSON object a line.
    pub(crate) fn lines(&self) -> Vec<Value> {
        self.out
            .lines()
            .map(|line| {
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"))
            })
            .collect()
    }
}
