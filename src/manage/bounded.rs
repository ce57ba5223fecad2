//! Work that may never end, on many things at the same time: a file may be on a disk that does not
//! answer, and reading it can't be broken off. A thread that does not come back is left behind.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, Read};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::manage::limits::{ANSWER_TIMEOUT, WORKER_PATIENCE, WORKER_STACK, WORKERS_MIN};

/// Does `work` on each item, and returns the results in the order of the items: `None` for work
/// that took longer than [`ANSWER_TIMEOUT`]. More threads are started while those that there are
/// make no progress, so that items that hang take no time of the others.
pub(crate) fn each<T, R>(
    items: impl IntoIterator<Item = T>,
    work: impl Fn(T) -> R + Send + Sync + 'static,
) -> Vec<Option<R>>
where
    T: Send + 'static,
    R: Send + 'static,
{
    let queue: VecDeque<(usize, T)> = items.into_iter().enumerate().collect();
    let mut pool = Pool::new(queue, work);
    pool.grow(WORKERS_MIN);
    pool.run();
    pool.results
}

/// The paths of [`each_at`] whose work has not come back.
static UNANSWERED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// The same for items that have paths, and for those who ask again and again: while the work at a path has
/// not come back, there is no more work at that path, and the result is `None` at once. So no more than
/// one thread is left behind for each path.
pub(crate) fn each_at<T, R>(
    items: impl IntoIterator<Item = (PathBuf, T)>,
    work: impl Fn(T) -> R + Send + Sync + 'static,
) -> Vec<Option<R>>
where
    T: Send + 'static,
    R: Send + 'static,
{
    let unanswered = || UNANSWERED.lock().unwrap_or_else(PoisonError::into_inner);
    let results = each(items, move |(path, item)| {
        if !unanswered().insert(path.clone()) {
            return None;
        }
        let result = work(item);
        unanswered().remove(&path);
        Some(result)
    });
    results.into_iter().map(Option::flatten).collect()
}

/// The same as [`each`] for one piece of work.
pub(crate) fn one<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> Option<R> {
    let (sender, result) = channel();
    let worker = thread::Builder::new().spawn(move || sender.send(work()));
    worker.ok()?;
    result.recv_timeout(ANSWER_TIMEOUT).ok()
}

/// What a program prints to standard output. The program is killed if that takes longer than `limit`.
///
/// # Errors
/// Why there is no output, in a few words.
pub(crate) fn output(mut command: Command, limit: Duration) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let problem = |error: io::Error| format!("{name}: {error}");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(problem)?;
    let (sender, result) = channel();
    let mut output = child.stdout.take().ok_or_else(|| format!("{name} has no output"))?;
    thread::spawn(move || {
        let mut text = Vec::new();
        let read = output.read_to_end(&mut text).map(|_| text);
        // Nobody listens any more if time is up.
        let _ = sender.send(read);
    });
    let Ok(text) = result.recv_timeout(limit) else {
        let _ = child.kill();
        return Err(format!("{name} does not answer"));
    };
    let status = child.wait().map_err(problem)?;
    let text = String::from_utf8_lossy(&text.map_err(problem)?).into_owned();
    if status.success() { Ok(text) } else { Err(format!("{name}: {status}")) }
}

enum Report<R> {
    Started(usize),
    Done(usize, R),
}

struct Pool<T, R, W> {
    queue: Arc<Mutex<VecDeque<(usize, T)>>>,
    work: Arc<W>,
    sender: Sender<Report<R>>,
    reports: Receiver<Report<R>>,
    /// What is being done, and since when.
    running: BTreeMap<usize, Instant>,
    /// Items that have neither been done nor given up.
    left: usize,
    results: Vec<Option<R>>,
}

impl<T, R, W> Pool<T, R, W>
where
    T: Send + 'static,
    R: Send + 'static,
    W: Fn(T) -> R + Send + Sync + 'static,
{
    fn new(queue: VecDeque<(usize, T)>, work: W) -> Self {
        let (sender, reports) = channel();
        let left = queue.len();
        Pool {
            queue: Arc::new(Mutex::new(queue)),
            work: Arc::new(work),
            sender,
            reports,
            running: BTreeMap::new(),
            left,
            results: (0..left).map(|_| None).collect(),
        }
    }

    /// Starts up to `count` threads, not more than there are items in the queue. Returns false if
    /// none could be started.
    fn grow(&self, count: usize) -> bool {
        let waiting = self.queue.lock().unwrap_or_else(PoisonError::into_inner).len();
        let started = (0..count.min(waiting)).take_while(|_| {
            let (queue, work, sender) =
                (Arc::clone(&self.queue), Arc::clone(&self.work), self.sender.clone());
            let worker = move || {
                let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                while let Some((index, item)) = next() {
                    // Nobody listens any more if all items were given up.
                    let _ = sender.send(Report::Started(index));
                    let _ = sender.send(Report::Done(index, work(item)));
                }
            };
            thread::Builder::new().stack_size(WORKER_STACK).spawn(worker).is_ok()
        });
        started.count() > 0 || waiting == 0
    }

    fn run(&mut self) {
        while self.left > 0 {
            match self.reports.recv_timeout(self.patience()) {
                Ok(Report::Started(index)) => {
                    self.running.insert(index, Instant::now());
                }
                Ok(Report::Done(index, result)) => {
                    if self.running.remove(&index).is_some() {
                        self.left -= 1;
                    }
                    if let Some(place) = self.results.get_mut(index) {
                        *place = Some(result);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    let before = self.running.len();
                    self.running.retain(|_, since| since.elapsed() < ANSWER_TIMEOUT);
                    self.left -= before - self.running.len();
                    if !self.grow(before.max(1)) && self.running.is_empty() {
                        return;
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// How long to wait for a report.
    fn patience(&self) -> Duration {
        let first = self.running.values().min();
        let deadline = first.map(|since| ANSWER_TIMEOUT.saturating_sub(since.elapsed()));
        deadline.unwrap_or(ANSWER_TIMEOUT).min(WORKER_PATIENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_order() {
        let results = each(0..500, |number| number * 2);
        assert_eq!(results, (0..500).map(|number| Some(number * 2)).collect::<Vec<_>>());
        assert_eq!(each(Vec::<i32>::new(), |number| number), []);
    }

    /// A hundred of them would take a hundred times as long one after the other.
    #[test]
    fn what_hangs_is_given_up_and_holds_nothing_else() {
        let (held, forever) = channel::<()>();
        let forever = Mutex::new(forever);
        let begun = Instant::now();
        let results = each(0..300, move |number| {
            if number % 3 == 0 {
                let _ = forever.lock().map(|forever| forever.recv());
            }
            number
        });
        for (number, result) in results.into_iter().enumerate() {
            assert_eq!(result, (number % 3 != 0).then_some(number));
        }
        assert!(begun.elapsed() < 40 * ANSWER_TIMEOUT);
        drop(held);
        assert_eq!(one(|| 7), Some(7));
    }

    #[test]
    fn what_hangs_is_not_asked_again() {
        let (held, forever) = channel::<()>();
        let forever = Arc::new(Mutex::new(forever));
        let asked = Arc::new(Mutex::new(0));
        let directory = tempfile::tempdir().unwrap();
        let ask = || {
            let (forever, asked) = (Arc::clone(&forever), Arc::clone(&asked));
            let items = ["hung", "fine"].map(|name| (directory.path().join(name), name));
            each_at(items, move |name| {
                if name == "hung" {
                    *asked.lock().unwrap() += 1;
                    let _ = forever.lock().map(|forever| forever.recv());
                }
                name
            })
        };
        for _ in 0..3 {
            assert_eq!(ask(), [None, Some("fine")]);
        }
        assert_eq!(*asked.lock().unwrap(), 1);
        drop(held);
        let begun = Instant::now();
        while ask() != [Some("hung"), Some("fine")] {
            assert!(begun.elapsed() < 40 * ANSWER_TIMEOUT);
        }
    }
}
