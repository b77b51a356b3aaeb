//! What all VMs of one Envoy process share: the clock, shared data and queues (proxy-wasm ABI 0.2.1, "Shared data",
//! "Shared queue"), metrics, logs, clusters and the timeline of what happens next.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use crate::abi::Status;
use crate::headers::HeaderMap;
use crate::upstream::{Answer, Call, CallReply};

/// Answers the calls to one cluster.
pub(crate) type Cluster = Box<dyn FnMut(&Call) -> Answer>;
/// A function that the host lends by name; `None` is a failure.
pub(crate) type ForeignFunction = Box<dyn FnMut(&[u8]) -> Option<Vec<u8>>>;

/// A log line of a filter.
#[derive(Clone, Debug)]
pub struct LogLine {
    /// 0 trace, 1 debug, 2 info, 3 warn, 4 error, 5 critical.
    pub level: u32,
    /// Which VM wrote it: 0 is the main thread's, the workers follow.
    pub vm: usize,
    /// What it says.
    pub text: String,
}

/// A metric; Envoy keeps one per name for all VMs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Only grows.
    Counter(u64),
    /// Is set.
    Gauge(u64),
    /// Every recorded value.
    Histogram(Vec<u64>),
}

/// Something that happens to a VM at a time.
pub(crate) enum Timer {
    Tick { serial: u64 },
    CallDone { token: u32, reply: CallReply },
}

/// A timer and the VM it is for. The generation tells a reloaded VM from the one that asked.
pub(crate) struct Due {
    pub(crate) vm: usize,
    pub(crate) generation: u32,
    pub(crate) timer: Timer,
}

/// A queue event on its way to the thread that owns the queue.
pub(crate) struct Ready {
    pub(crate) vm: usize,
    pub(crate) context: u32,
    pub(crate) queue: u32,
}

struct Queue {
    name: Vec<u8>,
    vm: usize,
    context: u32,
    items: VecDeque<Vec<u8>>,
}

/// The state that all VMs of the process see.
pub(crate) struct Process {
    pub(crate) now: u64,
    pub(crate) vm_id: String,
    pub(crate) log_level: u32,
    shared_data: HashMap<Vec<u8>, (Vec<u8>, u32)>,
    last_cas: u32,
    queues: Vec<Queue>,
    pub(crate) metrics: BTreeMap<String, Metric>,
    pub(crate) logs: Vec<LogLine>,
    pub(crate) ready: VecDeque<Ready>,
    timeline: BTreeMap<(u64, u64), Due>,
    serial: u64,
    pub(crate) clusters: HashMap<String, Cluster>,
    pub(crate) calls: Vec<Call>,
    pub(crate) oddities: Vec<String>,
    pub(crate) foreign: HashMap<String, ForeignFunction>,
}

impl Process {
    pub(crate) fn new(now: u64, vm_id: &str, log_level: u32) -> Self {
        Self {
            now,
            vm_id: vm_id.to_owned(),
            log_level,
            shared_data: HashMap::new(),
            last_cas: 0,
            queues: Vec::new(),
            metrics: BTreeMap::new(),
            logs: Vec::new(),
            ready: VecDeque::new(),
            timeline: BTreeMap::new(),
            serial: 0,
            clusters: HashMap::new(),
            calls: Vec::new(),
            oddities: Vec::new(),
            foreign: HashMap::new(),
        }
    }

    /// Notes what a well-behaved filter does not do; tests can ask for the list.
    pub(crate) fn odd(&mut self, text: impl Into<String>) {
        self.oddities.push(text.into());
    }

    /// The value of a key with its version.
    pub(crate) fn shared_get(&self, key: &[u8]) -> Option<(Vec<u8>, u32)> {
        self.shared_data.get(key).cloned()
    }

    /// Sets a key. A version other than 0 must be the present one, except that an absent key takes any.
    pub(crate) fn shared_set(&mut self, key: &[u8], value: Vec<u8>, cas: u32) -> Status {
        if let Some((_, version)) = self.shared_data.get(key)
            && cas != 0
            && cas != *version
        {
            return Status::CasMismatch;
        }
        self.last_cas += 1;
        self.shared_data.insert(key.to_vec(), (value, self.last_cas));
        Status::Ok
    }

    /// How many keys and bytes shared data holds: nothing is ever removed from it.
    pub(crate) fn shared_size(&self) -> (usize, usize) {
        (self.shared_data.len(), self.shared_data.iter().map(|(key, (value, _))| key.len() + value.len()).sum())
    }

    /// The token of a queue, which from now on belongs to this VM; what is in it stays.
    pub(crate) fn queue_register(&mut self, name: &[u8], vm: usize, context: u32) -> u32 {
        match self.queue_resolve(name) {
            Some(token) => {
                let queue = &mut self.queues[token as usize - 1];
                (queue.vm, queue.context) = (vm, context);
                token
            }
            None => {
                self.queues.push(Queue { name: name.to_vec(), vm, context, items: VecDeque::new() });
                self.queues.len() as u32
            }
        }
    }

    /// The token of a queue.
    pub(crate) fn queue_resolve(&self, name: &[u8]) -> Option<u32> {
        self.queues.iter().position(|queue| queue.name == name).map(|index| index as u32 + 1)
    }

    fn queue(&mut self, token: u32) -> Option<&mut Queue> {
        self.queues.get_mut((token as usize).checked_sub(1)?)
    }

    /// Puts an item in and posts an event to the owner's thread.
    pub(crate) fn enqueue(&mut self, token: u32, item: Vec<u8>) -> Status {
        let Some(queue) = self.queue(token) else { return Status::NotFound };
        queue.items.push_back(item);
        let ready = Ready { vm: queue.vm, context: queue.context, queue: token };
        self.ready.push_back(ready);
        Status::Ok
    }

    /// Takes an item out.
    pub(crate) fn dequeue(&mut self, token: u32) -> Result<Vec<u8>, Status> {
        let queue = self.queue(token).ok_or(Status::NotFound)?;
        queue.items.pop_front().ok_or(Status::Empty)
    }

    /// Puts something on the timeline.
    pub(crate) fn later(&mut self, delay: Duration, vm: usize, generation: u32, timer: Timer) {
        self.serial += 1;
        let at = self.now.saturating_add(delay.as_nanos() as u64);
        self.timeline.insert((at, self.serial), Due { vm, generation, timer });
    }

    /// A number that no other call returned.
    pub(crate) fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// What is due next, not after this time; the clock moves to it.
    pub(crate) fn next_due(&mut self, until: u64) -> Option<Due> {
        let (&(at, serial), _) = self.timeline.first_key_value()?;
        if at > until {
            return None;
        }
        self.now = self.now.max(at);
        self.timeline.remove(&(at, serial))
    }

    /// Asks the cluster and says when its reply arrives.
    pub(crate) fn call(&mut self, call: Call) -> Result<Option<(Duration, CallReply)>, Status> {
        for needed in [":method", ":path", ":authority"] {
            if !call.headers.contains(needed) {
                return Err(Status::BadArgument);
            }
        }
        let Some(cluster) = self.clusters.get_mut(&call.cluster) else { return Err(Status::BadArgument) };
        let answer = cluster(&call);
        let timeout = call.timeout;
        self.calls.push(call);
        Ok(answer.arrival(timeout))
    }

    /// Puts the filter's log line away.
    pub(crate) fn log(&mut self, vm: usize, level: u32, text: &[u8]) {
        self.logs.push(LogLine { level, vm, text: String::from_utf8_lossy(text).into_owned() });
    }
}

/// The pseudo headers and properties that Envoy derives from a request when it arrives.
pub(crate) fn request_properties(headers: &HeaderMap) -> HashMap<Vec<u8>, Vec<u8>> {
    let mut properties = HashMap::new();
    for (property, header) in [
        ("path", ":path"),
        ("host", ":authority"),
        ("method", ":method"),
        ("scheme", ":scheme"),
        ("id", "x-request-id"),
    ] {
        if let Some(value) = headers.get(header) {
            properties.insert(format!("request\0{property}").into_bytes(), value.to_vec());
        }
    }
    properties
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_swap_on_an_absent_key_succeeds_and_versions_grow() {
        let mut process = Process::new(0, "vm", 0);
        assert_eq!(process.shared_set(b"k", b"1".to_vec(), 77), Status::Ok);
        let (value, first) = process.shared_get(b"k").expect("set");
        assert_eq!(value, b"1");
        assert_eq!(process.shared_set(b"k", b"2".to_vec(), first + 1), Status::CasMismatch);
        assert_eq!(process.shared_set(b"k", b"2".to_vec(), first), Status::Ok);
        assert_eq!(process.shared_set(b"k", b"3".to_vec(), first), Status::CasMismatch);
        assert_eq!(process.shared_set(b"k", b"4".to_vec(), 0), Status::Ok);
        assert!(process.shared_get(b"k").expect("set").1 > first);
    }

    #[test]
    fn a_queue_belongs_to_the_last_that_registered_it() {
        let mut process = Process::new(0, "vm", 0);
        let token = process.queue_register(b"q", 0, 1);
        assert_eq!(process.enqueue(token, b"a".to_vec()), Status::Ok);
        assert_eq!(process.queue_register(b"q", 2, 1), token);
        assert_eq!(process.enqueue(token, b"b".to_vec()), Status::Ok);
        let owners: Vec<_> = process.ready.iter().map(|ready| ready.vm).collect();
        assert_eq!(owners, [0, 2]);
        assert_eq!(process.dequeue(token), Ok(b"a".to_vec()));
        assert_eq!(process.dequeue(token), Ok(b"b".to_vec()));
        assert_eq!(process.dequeue(token), Err(Status::Empty));
        assert_eq!(process.dequeue(9), Err(Status::NotFound));
        assert_eq!(process.dequeue(0), Err(Status::NotFound));
    }
}
