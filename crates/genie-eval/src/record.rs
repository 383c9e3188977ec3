//! Runs on the disk: a folder each, with `run.json` and `items.jsonl`.
//!
//! Items are appended one by one, so that a run that was stopped, by whatever,
//! is taken up where it was; a line that was being written then is dropped.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::lines;
use crate::run::{
    Configuration, Header, ItemRecord, Machine, Metrics, Run, State, latencies, metrics, missed,
};

const RUN: &str = "run.json";
const ITEMS: &str = "items.jsonl";
const LOCK: &str = "lock";

/// A run that is being made.
#[derive(Debug)]
pub struct Recording {
    folder: PathBuf,
    header: Header,
    items: Vec<ItemRecord>,
    done: BTreeSet<String>,
    file: File,
    /// Held while the run is being made.
    _lock: File,
}

impl Recording {
    /// Takes up the latest unfinished run of this configuration below
    /// `root`, or begins a new one; with `fresh` always the latter.
    ///
    /// # Errors
    ///
    /// Fails where files can't be read or written.
    pub fn open(
        root: &Path,
        configuration: Configuration,
        machine: Machine,
        fresh: bool,
    ) -> anyhow::Result<Self> {
        fs::create_dir_all(root).with_context(|| unwritable(root))?;
        if !fresh {
            for (folder, run) in runs(root)?.into_iter().rev() {
                if run.run.state == State::Unfinished
                    && run.run.configuration == configuration
                    && let Some(lock) = lock(&folder)?
                {
                    return Self::take_up(folder, run.run, lock);
                }
            }
        }
        Self::begin(root, configuration, machine)
    }

    fn begin(root: &Path, configuration: Configuration, machine: Machine) -> anyhow::Result<Self> {
        let now = jiff::Timestamp::now();
        let name: String = configuration
            .suite
            .split('.')
            .next()
            .unwrap_or_default()
            .chars()
            .map(|c| if c.is_alphanumeric() { c } else { '-' })
            .take(40)
            .collect();
        let hash = configuration.hash()?.to_string();
        let id = format!("{name}-{}-{}", now.strftime("%Y%m%dT%H%M%S"), &hash[..6]);
        let (id, folder) = free(root, &id)?;
        let Some(lock) = lock(&folder)? else {
            bail!("{} is in use by another process", folder.display());
        };
        let path = folder.join(ITEMS);
        let file = File::create(&path).with_context(|| unwritable(&path))?;
        let header = Header {
            id,
            state: State::Unfinished,
            started: now.to_string(),
            finished: None,
            resumed: 0,
            machine,
            configuration,
        };
        let recording = Self {
            folder,
            header,
            items: Vec::new(),
            done: BTreeSet::new(),
            file,
            _lock: lock,
        };
        recording.write(&recording.unfinished())?;
        Ok(recording)
    }

    fn take_up(folder: PathBuf, mut header: Header, lock: File) -> anyhow::Result<Self> {
        let path = folder.join(ITEMS);
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&path)
            .with_context(|| unwritable(&path))?;
        let bytes = fs::read(&path).with_context(|| unreadable(&path))?;
        let whole = bytes
            .iter()
            .rposition(|&byte| byte == b'\n')
            .map_or(0, |at| at + 1);
        if whole < bytes.len() {
            tracing::info!(path = %path.display(), "a torn line was dropped");
            file.set_len(whole as u64)
                .with_context(|| unwritable(&path))?;
            file.flush().with_context(|| unwritable(&path))?;
        }
        let text = std::str::from_utf8(&bytes[..whole])
            .with_context(|| format!("{} is not UTF-8", path.display()))?;
        let items: Vec<ItemRecord> = lines::objects(&path, text)?
            .into_iter()
            .map(|(_, item)| item)
            .collect();
        header.resumed += 1;
        let recording = Self {
            done: items.iter().map(|item| item.id.clone()).collect(),
            folder,
            header,
            items,
            file,
            _lock: lock,
        };
        recording.write(&recording.unfinished())?;
        Ok(recording)
    }

    /// The run's name.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.header.id
    }

    /// Items that are done.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether nothing is done yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether this item is done.
    #[must_use]
    pub fn has(&self, id: &str) -> bool {
        self.done.contains(id)
    }

    /// Adds what came of an item.
    ///
    /// # Errors
    ///
    /// Fails where it can't be written.
    pub fn add(&mut self, item: ItemRecord) -> anyhow::Result<()> {
        let path = self.folder.join(ITEMS);
        let mut line = serde_json::to_string(&item)
            .with_context(|| format!("{} can't be recorded", item.id))?;
        line.push('\n');
        // In one call, so that a line is torn by nothing but a crash.
        self.file
            .write_all(line.as_bytes())
            .with_context(|| unwritable(&path))?;
        self.done.insert(item.id.clone());
        self.items.push(item);
        Ok(())
    }

    /// Computes the figures and writes them.
    ///
    /// # Errors
    ///
    /// Fails where they can't be written.
    pub fn finish(mut self) -> anyhow::Result<Run> {
        let path = self.folder.join(ITEMS);
        self.file.sync_all().with_context(|| unwritable(&path))?;
        self.header.state = State::Finished;
        self.header.finished = Some(jiff::Timestamp::now().to_string());
        let run = Run {
            suite: self.header.configuration.suite.clone(),
            items: self.items.len(),
            metrics: metrics(&self.items, self.header.configuration.seed),
            missed: missed(&self.items),
            latency_ms: latencies(&self.items),
            run: self.header.clone(),
        };
        self.write(&run)?;
        Ok(run)
    }

    fn unfinished(&self) -> Run {
        Run {
            suite: self.header.configuration.suite.clone(),
            items: self.items.len(),
            metrics: Metrics::default(),
            missed: Default::default(),
            latency_ms: Default::default(),
            run: self.header.clone(),
        }
    }

    fn write(&self, run: &Run) -> anyhow::Result<()> {
        let path = self.folder.join(RUN);
        let partial = self.folder.join("run.json.partial");
        let text = serde_json::to_string_pretty(run).context("the run can't be recorded")?;
        File::create(&partial)
            .and_then(|mut file| {
                file.write_all(text.as_bytes())?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&partial, &path))
            .with_context(|| unwritable(&path))
    }
}

/// A run as it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct SavedRun {
    /// What it was made with and its figures.
    pub run: Run,
    /// Its items; `None` where only the figures are known.
    pub items: Option<Vec<ItemRecord>>,
}

/// Reads a run: a folder, a file with what `--json` printed, or the name (or
/// the beginning of it, where that is unique, or `latest`) of a run below
/// `root`.
///
/// # Errors
///
/// Fails where there is no such run, where it is not finished, and where its
/// files can't be read.
pub fn load_run(reference: &str, root: &Path) -> anyhow::Result<SavedRun> {
    let path = Path::new(reference);
    let (run, items) = if path.is_dir() {
        (path.join(RUN), Some(path.join(ITEMS)))
    } else if path.is_file() {
        let beside = path.with_file_name(ITEMS);
        let is_recorded = path.file_name().is_some_and(|name| name == RUN) && beside.is_file();
        (path.to_owned(), is_recorded.then_some(beside))
    } else {
        let folder = named(reference, root)?;
        (folder.join(RUN), Some(folder.join(ITEMS)))
    };
    let run = read_run(&run)?;
    if run.run.state == State::Unfinished {
        bail!(
            "the run {} is not finished; the command that began it takes it up",
            run.run.id
        );
    }
    Ok(SavedRun {
        run,
        items: items.map(|items| read_items(&items)).transpose()?,
    })
}

/// The runs below `root`, oldest first.
///
/// # Errors
///
/// Fails where the folder can't be read.
pub fn list_runs(root: &Path) -> anyhow::Result<Vec<Run>> {
    Ok(runs(root)?.into_iter().map(|(_, run)| run).collect())
}

fn named(reference: &str, root: &Path) -> anyhow::Result<PathBuf> {
    let mut known = runs(root)?;
    if reference == "latest" {
        known.retain(|(_, run)| run.run.state == State::Finished);
        return match known.pop() {
            Some((folder, _)) => Ok(folder),
            None => bail!("no run is finished yet"),
        };
    }
    // A whole name may be the beginning of another one.
    if let Some((folder, _)) = known.iter().find(|(_, run)| run.run.id == reference) {
        return Ok(folder.clone());
    }
    known.retain(|(_, run)| run.run.id.starts_with(reference));
    match known.as_slice() {
        [(folder, _)] => Ok(folder.clone()),
        [] => {
            bail!("{reference} is no run, folder or file; `genie eval list` shows the runs")
        }
        several => bail!("{} runs begin with {reference}", several.len()),
    }
}

/// Runs with their folders, oldest first. A folder without a readable run in
/// it was being begun when its process ended.
fn runs(root: &Path) -> anyhow::Result<Vec<(PathBuf, Run)>> {
    let entries = match fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| unreadable(root)),
    };
    let mut runs = Vec::new();
    for entry in entries {
        let folder = entry.with_context(|| unreadable(root))?.path();
        match read_run(&folder.join(RUN)) {
            Ok(run) => runs.push((folder, run)),
            Err(error) => tracing::debug!(%error, "passed over"),
        }
    }
    runs.sort_by(|(_, a), (_, b)| (&a.run.started, &a.run.id).cmp(&(&b.run.started, &b.run.id)));
    Ok(runs)
}

fn read_run(path: &Path) -> anyhow::Result<Run> {
    let read = lines::read(path)?;
    lines::whole(path, &read.text)
}

fn read_items(path: &Path) -> anyhow::Result<Vec<ItemRecord>> {
    let read = lines::read(path)?;
    Ok(lines::objects(path, &read.text)?
        .into_iter()
        .map(|(_, item)| item)
        .collect())
}

/// A new folder of this name, or of one with a number behind it.
fn free(root: &Path, id: &str) -> anyhow::Result<(String, PathBuf)> {
    let mut number = 1_u32;
    loop {
        let name = if number == 1 {
            id.to_owned()
        } else {
            format!("{id}-{number}")
        };
        let folder = root.join(&name);
        match fs::create_dir(&folder) {
            Ok(()) => return Ok((name, folder)),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(error).with_context(|| unwritable(&folder)),
        }
    }
}

/// The lock of a run's folder; `None` where another process has it.
fn lock(folder: &Path) -> anyhow::Result<Option<File>> {
    let path = folder.join(LOCK);
    let file = File::create(&path).with_context(|| unwritable(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(error)) => Err(error).with_context(|| unwritable(&path)),
    }
}

fn unreadable(path: &Path) -> String {
    format!("{} can't be read", path.display())
}

fn unwritable(path: &Path) -> String {
    format!("{} can't be written", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{configuration, item, machine};

    fn open(root: &Path, fresh: bool) -> Recording {
        Recording::open(root, configuration(), machine(), fresh).unwrap()
    }

    #[test]
    fn a_finished_run_is_read_back_by_its_name() {
        let root = tempfile::tempdir().unwrap();
        let mut recording = open(root.path(), false);
        recording.add(item("a", &[("recall@1", 1.0)])).unwrap();
        recording.add(item("b", &[("recall@1", 0.0)])).unwrap();
        let run = recording.finish().unwrap();
        assert_eq!(run.metrics.overall["recall@1"].value, 0.5);
        assert_eq!(run.metrics.by_kind["fact"]["recall@1"].n, 2);
        for reference in [run.run.id.as_str(), &run.run.id[..8], "latest"] {
            let saved = load_run(reference, root.path()).unwrap();
            assert_eq!(saved.run, run);
            assert_eq!(saved.items.unwrap().len(), 2);
        }
        let folder = root.path().join(&run.run.id);
        let by_file = load_run(folder.join(RUN).to_str().unwrap(), root.path()).unwrap();
        assert_eq!(
            by_file,
            load_run(folder.to_str().unwrap(), root.path()).unwrap()
        );
        let error = load_run("none", root.path()).unwrap_err().to_string();
        assert!(error.contains("genie eval list"), "{error}");
    }

    #[test]
    fn a_stopped_run_is_taken_up_and_a_torn_line_dropped() {
        let root = tempfile::tempdir().unwrap();
        let mut recording = open(root.path(), false);
        let id = recording.id().to_owned();
        recording.add(item("a", &[("recall@1", 1.0)])).unwrap();
        recording.add(item("b", &[("recall@1", 1.0)])).unwrap();
        drop(recording);
        let path = root.path().join(&id).join(ITEMS);
        let whole = fs::read_to_string(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 9]).unwrap();

        let error = load_run(&id, root.path()).unwrap_err().to_string();
        assert!(error.contains("not finished"), "{error}");
        let mut recording = open(root.path(), false);
        assert_eq!((recording.id(), recording.len()), (id.as_str(), 1));
        assert!(recording.has("a") && !recording.has("b"));
        recording.add(item("b", &[("recall@1", 0.0)])).unwrap();
        let run = recording.finish().unwrap();
        assert_eq!((run.items, run.run.resumed), (2, 1));
        assert_eq!(run.metrics.overall["recall@1"].value, 0.5);
        // A finished run is not taken up.
        assert_ne!(open(root.path(), false).id(), id);
    }

    #[test]
    fn a_run_of_another_configuration_or_process_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let first = open(root.path(), false);
        // It is locked.
        let second = open(root.path(), false);
        assert_ne!(first.id(), second.id());
        let id = second.id().to_owned();
        drop(second);
        let mut other = configuration();
        other.retrieval = serde_json::json!({ "top_k": 9 });
        let third = Recording::open(root.path(), other, machine(), false).unwrap();
        assert!(third.id() != id && third.id() != first.id());
        let fresh = open(root.path(), true).id().to_owned();
        assert_ne!(fresh, id);
        // The latest is taken up.
        assert_eq!(open(root.path(), false).id(), fresh);
    }

    #[test]
    fn a_broken_line_in_the_middle_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        let mut recording = open(root.path(), false);
        let id = recording.id().to_owned();
        recording.add(item("a", &[])).unwrap();
        drop(recording);
        let path = root.path().join(&id).join(ITEMS);
        let whole = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{{\"id\"\n{whole}")).unwrap();
        let error = Recording::open(root.path(), configuration(), machine(), false).unwrap_err();
        assert!(error.to_string().contains("items.jsonl:1:"), "{error}");
    }
}
