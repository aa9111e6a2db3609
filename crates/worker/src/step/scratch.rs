//! What attempts have for themselves on the disk while they run: a folder, and files beside it.
//!
//! Every file and folder that is made and removed is work for the file system's journal, and a step
//! that does little is measured by it: so a place that an attempt has left as it was goes to a
//! later attempt of the run, and the run's own folder stays until the run is over. To truncate a
//! file is such work too, which is why a context is written over the one before it. How an attempt
//! has left its place is looked at while the next one's program runs, so that nobody waits for it.

use std::fs::{File, Metadata};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The names of an attempt's files, behind its place's.
const CONTEXT: &str = "context.json";
const RESULT: &str = "result.json";
const REQUEST: &str = "request.json";
const ANSWER: &str = "answer.json";
const ROWS: &str = "rows";
const MESSAGES: &str = "messages";
const PIPES_CONTEXT: &str = "pipes.json";

/// The files that most attempts have, which stay for the next one.
const KEPT: [&str; 2] = [CONTEXT, MESSAGES];

/// The files that few attempts have.
const REMOVED: [&str; 5] = [RESULT, REQUEST, ANSWER, ROWS, PIPES_CONTEXT];

/// The largest context that another one is written over.
const CONTEXT_OVER_MAX: usize = 1 << 20;

/// How many places keep their files for messages open while no attempt has them.
const OPEN_MAX: usize = 4;

/// The folder of a run's attempts; it goes with the run.
#[derive(Debug)]
pub(crate) struct RunScratch {
    path: PathBuf,
    free: Mutex<Free>,
    made: AtomicU32,
}

/// The places that attempts have had and no attempt has.
#[derive(Debug, Default)]
struct Free {
    /// These are as good as new.
    clean: Vec<Place>,
    /// These nobody has looked at yet.
    used: Vec<Place>,
}

impl RunScratch {
    /// The folder at `path`, which is made when an attempt first needs it.
    pub(crate) fn at(path: PathBuf) -> Self {
        Self { path, free: Mutex::default(), made: AtomicU32::new(0) }
    }

    /// Where it is, for messages.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A place with a folder that only this user can enter: the context may hold secrets.
    pub(super) fn folder(&self) -> io::Result<Scratch> {
        let mut place = self.place();
        if !place.has_folder {
            make_folder(&place.path)?;
            place.has_folder = true;
        }
        Ok(Scratch { place, is_given_back: false })
    }

    /// A place for files, for a step that has no use for a folder.
    pub(super) fn files(&self) -> io::Result<Scratch> {
        let place = self.place();
        if !place.was_used {
            make_folder(&self.path)?;
        }
        Ok(Scratch { place, is_given_back: false })
    }

    /// Looks at the places that were given back, and removes what another attempt cannot have.
    /// Whoever has something running calls this, for it takes some time.
    pub(super) fn tidy(&self) {
        let used = std::mem::take(&mut self.free().used);
        for mut place in used {
            if place.clean().is_err() {
                place.remove();
                continue;
            }
            let mut free = self.free();
            if free.clean.len() >= OPEN_MAX {
                place.messages.take();
            }
            free.clean.push(place);
        }
    }

    fn place(&self) -> Place {
        if self.free().used.len() > 1 {
            // One attempt after the other has two; where several end together, no more are made.
            self.tidy();
        }
        let clean = self.free().clean.pop();
        clean.unwrap_or_else(|| {
            let number = self.made.fetch_add(1, Ordering::Relaxed);
            Place { path: self.path.join(number.to_string()), ..Place::default() }
        })
    }

    fn free(&self) -> MutexGuard<'_, Free> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for RunScratch {
    fn drop(&mut self) {
        let free = self.free.get_mut().unwrap_or_else(PoisonError::into_inner);
        free.clean.iter().chain(&free.used).for_each(Place::remove);
        remove_folder(&self.path);
    }
}

fn make_folder(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Where one attempt after the other has its folder and files.
#[derive(Debug, Default)]
struct Place {
    path: PathBuf,
    has_folder: bool,
    /// Whether an attempt has had it, so that the run's folder is there.
    was_used: bool,
    /// The file for messages, once it was opened.
    messages: Option<Arc<File>>,
    /// Whether somebody was told of another file.
    has_others: AtomicBool,
}

impl Place {
    fn file(&self, name: &str) -> PathBuf {
        self.path.with_added_extension(name)
    }

    /// Makes the place as good as new for the next attempt, if a program has not made more of it
    /// than it was given.
    fn clean(&mut self) -> io::Result<()> {
        let has_others = std::mem::take(self.has_others.get_mut());
        let removed = if has_others { &REMOVED[..] } else { &[PIPES_CONTEXT] };
        for name in removed {
            match std::fs::remove_file(self.file(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        // Who has spoken may have the file open still, and would speak to the next attempt.
        let said = plain_file(&self.file(MESSAGES))?;
        if said.as_ref().is_some_and(|said| said.len() > 0) {
            std::fs::remove_file(self.file(MESSAGES))?;
            self.messages.take();
        } else if self.messages.as_ref().is_some_and(|opened| !is_same(opened, said.as_ref())) {
            return Err(io::Error::other("the file for messages is another one"));
        }
        if has_others {
            plain_file(&self.file(CONTEXT))?;
        }
        if self.has_folder {
            let is_ours = std::fs::symlink_metadata(&self.path)
                .is_ok_and(|it| it.is_dir() && it.mode() & 0o777 == 0o700);
            if !is_ours || std::fs::read_dir(&self.path)?.next().is_some() {
                return Err(io::Error::other("the folder is not as it was given"));
            }
        } else if said.is_none() {
            // The run's folder may be gone with it.
            return Err(io::Error::other("the file for messages is gone"));
        }
        Ok(())
    }

    fn remove(&self) {
        for name in KEPT.into_iter().chain(REMOVED) {
            // Most attempts have but some of them.
            std::fs::remove_file(self.file(name)).ok();
        }
        remove_folder(&self.path);
    }
}

/// Removes the folder at `path`, which mostly is empty and may not exist.
fn remove_folder(path: &Path) {
    match std::fs::remove_dir(path) {
        Ok(()) => return,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        Err(_) => {}
    }
    // What a step has made of it may be no folder any more.
    let is_folder = std::fs::symlink_metadata(path).is_ok_and(|it| it.is_dir());
    let removed =
        if is_folder { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    if let Err(error) = removed {
        tracing::warn!(path = %path.display(), %error, "a step's folder stays behind");
    }
}

/// Whether `found` is what there is to know of `opened`.
fn is_same(opened: &File, found: Option<&Metadata>) -> bool {
    let id = |file: &Metadata| (file.dev(), file.ino());
    opened.metadata().is_ok_and(|opened| found.map(id) == Some(id(&opened)))
}

/// What there is to know of the file at `path`, if it is there; an error when it is not the plain
/// file we made.
fn plain_file(path: &Path) -> io::Result<Option<Metadata>> {
    let file = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    if !file.is_file() || file.nlink() != 1 || file.mode() & 0o600 != 0o600 {
        return Err(io::Error::other("the file is not as it was given"));
    }
    Ok(Some(file))
}

/// An attempt's folder and files; all of it is removed when this is dropped.
#[derive(Debug)]
pub(super) struct Scratch {
    place: Place,
    is_given_back: bool,
}

impl Scratch {
    /// Gives the place to the run's later attempts. Nothing of this one may use it any more.
    pub(super) fn give_back(mut self, run: &RunScratch) {
        self.is_given_back = true;
        let place = std::mem::take(&mut self.place);
        run.free().used.push(Place { was_used: true, ..place });
    }

    /// The file that the step's context is in.
    pub(super) fn context(&self) -> PathBuf {
        self.other(CONTEXT)
    }

    /// Writes that file, over what an earlier attempt of the run has been told.
    pub(super) fn write_context(&self, mut json: Vec<u8>) -> io::Result<()> {
        let mut file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.context())?;
        let before = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        if before > CONTEXT_OVER_MAX {
            file.set_len(0)?;
        } else if before > json.len() {
            // Space behind a JSON text is not of it.
            json.resize(before, b'\n');
        }
        file.write_all(&json)
    }

    /// The file that the step leaves its result in.
    pub(super) fn result(&self) -> PathBuf {
        self.other(RESULT)
    }

    /// The file with what a SQL step asks for.
    pub(super) fn request(&self) -> PathBuf {
        self.other(REQUEST)
    }

    /// The file with what became of a SQL step.
    pub(super) fn answer(&self) -> PathBuf {
        self.other(ANSWER)
    }

    /// The file with the rows of a SQL step.
    pub(super) fn rows(&self) -> PathBuf {
        self.other(ROWS)
    }

    /// The file with a copy of the rows of one of the step's inputs, which goes with the folder.
    pub(super) fn input(&self, number: usize) -> PathBuf {
        self.tmp().join(format!("input.{number}"))
    }

    /// The file that the step's program writes its messages to.
    pub(super) fn messages(&self) -> PathBuf {
        self.file(MESSAGES)
    }

    /// That file, opened; made if it is not there.
    pub(super) fn open_messages(&mut self) -> io::Result<Arc<File>> {
        let path = self.messages();
        // Somebody may have taken it away since it was looked at.
        let is_there =
            |it: &&Arc<File>| is_same(it, std::fs::symlink_metadata(&path).ok().as_ref());
        if let Some(opened) = self.place.messages.as_ref().filter(is_there) {
            return Ok(Arc::clone(opened));
        }
        let file = Arc::new(File::options().read(true).append(true).create(true).open(&path)?);
        self.place.messages = Some(Arc::clone(&file));
        Ok(file)
    }

    /// The file with a context of Pipes that is too large for a variable.
    pub(super) fn pipes_context(&self) -> PathBuf {
        self.file(PIPES_CONTEXT)
    }

    /// The folder for the step's own temporary files.
    pub(super) fn tmp(&self) -> &Path {
        &self.place.path
    }

    /// A file that not every attempt has.
    fn other(&self, name: &str) -> PathBuf {
        self.place.has_others.store(true, Ordering::Relaxed);
        self.file(name)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.place.file(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.is_given_back {
            self.place.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_attempt_after_the_other_has_two_places() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunScratch::at(folder.path().join("run"));
        for is_tidied in [true, false] {
            for _ in 0..10 {
                let scratch = run.folder().unwrap();
                if is_tidied {
                    run.tidy();
                }
                scratch.write_context(b"{}".to_vec()).unwrap();
                scratch.give_back(&run);
            }
            let made = run.made.load(Ordering::Relaxed);
            assert_eq!(made, 2, "whether or not somebody has looked at them meanwhile");
        }
        drop(run);
        assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none());
    }

    #[test]
    fn what_an_attempt_was_told_of_is_gone_for_the_next_and_its_file_for_messages_stays_open() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunScratch::at(folder.path().join("run"));
        let mut scratch = run.files().unwrap();
        let opened = scratch.open_messages().unwrap();
        let result = scratch.result();
        std::fs::write(&result, "{}").unwrap();
        std::fs::write(scratch.pipes_context(), "{}").unwrap();
        scratch.give_back(&run);
        run.tidy();
        assert!(!result.exists());
        let mut next = run.files().unwrap();
        assert_eq!(next.result(), result);
        assert!(!next.pipes_context().exists());
        assert!(Arc::ptr_eq(&next.open_messages().unwrap(), &opened));
        assert!(next.messages().exists());
    }

    #[test]
    fn few_places_keep_their_files_open_while_nobody_has_them() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunScratch::at(folder.path().join("run"));
        let mut all: Vec<_> = (0..3 * OPEN_MAX).map(|_| run.files().unwrap()).collect();
        for scratch in &mut all {
            scratch.open_messages().unwrap();
        }
        for scratch in all {
            scratch.give_back(&run);
        }
        run.tidy();
        let free = run.free();
        let open = free.clean.iter().filter(|place| place.messages.is_some()).count();
        assert_eq!((free.clean.len(), open), (3 * OPEN_MAX, OPEN_MAX));
    }

    #[test]
    fn messages_that_were_said_or_go_to_another_file_are_none_of_the_next_attempt() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunScratch::at(folder.path().join("run"));
        let write = |path: &Path| std::fs::write(path, "{}").unwrap();
        let replace = |path: &Path| {
            std::fs::remove_file(path).unwrap();
            let kept = File::options().write(true).create_new(true).mode(0o600).open(path);
            drop(kept.unwrap());
        };
        for (spoil, is_looked_at_first) in
            [(&write as &dyn Fn(&Path), false), (&replace, false), (&replace, true)]
        {
            let mut scratch = run.files().unwrap();
            let opened = scratch.open_messages().unwrap();
            let path = scratch.messages();
            scratch.give_back(&run);
            if is_looked_at_first {
                run.tidy();
            }
            spoil(&path);
            run.tidy();
            let mut next = run.files().unwrap();
            let again = next.open_messages().unwrap();
            assert!(!Arc::ptr_eq(&again, &opened));
            let there = std::fs::metadata(next.messages()).unwrap();
            assert_eq!((there.ino(), there.len()), (again.metadata().unwrap().ino(), 0));
        }
    }

    #[test]
    fn a_place_that_an_attempt_has_not_left_as_it_was_goes_to_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunScratch::at(folder.path().join("run"));
        let scratch = run.folder().unwrap();
        let spoiled = scratch.tmp().to_owned();
        std::fs::write(spoiled.join("left"), "behind").unwrap();
        scratch.give_back(&run);
        let next = run.folder().unwrap();
        assert_ne!(next.tmp(), spoiled, "nobody has looked at it yet");
        run.tidy();
        assert!(!spoiled.exists());
        assert_ne!(run.folder().unwrap().tmp(), spoiled);
    }
}
