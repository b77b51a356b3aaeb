//! One VM: a wasmtime instance with its contexts, the memory helpers that host functions use, and calls into the guest.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::rc::Rc;

use wasmtime::{AsContextMut, Caller, Func, Instance, Linker, Memory, Store, Val};

use crate::abi::Status;
use crate::module::GuestModule;
use crate::process::Process;
use crate::reply::LocalReply;
use crate::stream::Stream;
use crate::upstream::CallReply;

/// Why a host function does not return `Ok`.
pub(crate) enum Fault {
    /// An answer to the guest.
    Status(Status),
    /// The guest itself failed while it was asked for memory.
    Trap(wasmtime::Error),
}

impl From<Status> for Fault {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

/// What a host function does.
pub(crate) type Served = Result<(), Fault>;

/// The number that the guest gets.
pub(crate) fn status_of(served: Served) -> wasmtime::Result<i32> {
    match served {
        Ok(()) => Ok(Status::Ok as i32),
        Err(Fault::Status(status)) => Ok(status as i32),
        Err(Fault::Trap(error)) => Err(error),
    }
}

/// What a filter asked for and gets when its callback has returned.
pub(crate) enum Action {
    ContinueRequest(u32),
    ContinueResponse(u32),
    Reply(u32, LocalReply),
    Reset(u32),
}

impl Action {
    pub(crate) fn context(&self) -> u32 {
        match self {
            Self::ContinueRequest(id) | Self::ContinueResponse(id) | Self::Reply(id, _) | Self::Reset(id) => *id,
        }
    }
}

/// A context of the guest.
pub(crate) enum Context {
    Root,
    Stream(Box<Stream>),
}

/// Counter, gauge or histogram.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum MetricKind {
    Counter,
    Gauge,
    Histogram,
}

/// What host functions work on.
pub(crate) struct VmState {
    pub(crate) process: Rc<RefCell<Process>>,
    pub(crate) vm: usize,
    pub(crate) generation: u32,
    memory: Option<Memory>,
    allocate: Option<Func>,
    pub(crate) contexts: HashMap<u32, Context>,
    next_context: u32,
    /// The context whose callback runs.
    pub(crate) current: u32,
    /// The context that the filter chose instead; 0 is none.
    pub(crate) effective: u32,
    /// A local reply was asked for in this callback: whatever it returns, iteration stops.
    pub(crate) stop_iteration: bool,
    pub(crate) actions: VecDeque<Action>,
    /// Calls under way and the context that made each.
    pub(crate) calls: HashMap<u32, u32>,
    pub(crate) last_call: u32,
    pub(crate) call_reply: Option<CallReply>,
    pub(crate) plugin_configuration: Option<Vec<u8>>,
    pub(crate) metrics: Vec<(MetricKind, String)>,
    pub(crate) tick_serial: Option<(u64, std::time::Duration)>,
    pub(crate) environment: Vec<(String, String)>,
    random: u64,
    told: Told,
}

/// What a module tells of the code that runs ([`crate::GuestModule::telling`]).
#[derive(Debug, Default)]
pub struct Told {
    /// The numbers of the functions that were entered, in the order in which they first were.
    pub entered: Vec<u32>,
    /// How often each branch (`if`, `br_if`), by its number, found the condition false, and how often true.
    pub branches: BTreeMap<u32, [u64; 2]>,
}

impl VmState {
    /// The context that host functions act on: the effective one while it lives, else the current one.
    pub(crate) fn acting(&self) -> u32 {
        if self.effective != 0 && self.contexts.contains_key(&self.effective) { self.effective } else { self.current }
    }

    /// The stream that host functions act on, if it is one.
    pub(crate) fn acting_stream(&mut self) -> Option<&mut Stream> {
        let id = self.acting();
        self.stream(id)
    }

    /// A stream by its context.
    pub(crate) fn stream(&mut self, context: u32) -> Option<&mut Stream> {
        match self.contexts.get_mut(&context) {
            Some(Context::Stream(stream)) => Some(stream),
            _ => None,
        }
    }

    /// A new context, with an id that this VM never gave before.
    pub(crate) fn add_context(&mut self, context: Context) -> u32 {
        self.next_context += 1;
        self.contexts.insert(self.next_context, context);
        self.next_context
    }

    /// The next byte of this VM's deterministic randomness (SplitMix64).
    pub(crate) fn random_byte(&mut self) -> u8 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) as u8
    }
}

/// Reads guest memory.
pub(crate) fn read(caller: &mut Caller<'_, VmState>, at: u32, len: u32) -> Result<Vec<u8>, Fault> {
    let memory = caller.data().memory.ok_or(Status::InternalFailure)?;
    let end = (at as usize).checked_add(len as usize).ok_or(Status::InvalidMemoryAccess)?;
    let bytes = memory.data(&*caller).get(at as usize..end).ok_or(Status::InvalidMemoryAccess)?;
    Ok(bytes.to_vec())
}

/// Writes guest memory.
pub(crate) fn write(caller: &mut Caller<'_, VmState>, at: u32, bytes: &[u8]) -> Served {
    let memory = caller.data().memory.ok_or(Status::InternalFailure)?;
    memory.write(&mut *caller, at as usize, bytes).map_err(|_| Fault::Status(Status::InvalidMemoryAccess))
}

/// Hands bytes to the guest: in memory that it allocates, with address and length where it wants them.
pub(crate) fn give(caller: &mut Caller<'_, VmState>, bytes: &[u8], address_at: u32, len_at: u32) -> Served {
    let mut address = 0;
    if !bytes.is_empty() {
        let allocate = caller.data().allocate.ok_or(Status::InternalFailure)?;
        let mut out = [Val::I32(0)];
        allocate.call(&mut *caller, &[Val::I32(bytes.len() as i32)], &mut out).map_err(Fault::Trap)?;
        address = out[0].i32().unwrap_or(0) as u32;
        write(caller, address, bytes)?;
    }
    write(caller, address_at, &address.to_le_bytes())?;
    write(caller, len_at, &(bytes.len() as u32).to_le_bytes())
}

/// What a VM is made with.
pub(crate) struct VmSeed {
    pub(crate) process: Rc<RefCell<Process>>,
    pub(crate) vm: usize,
    pub(crate) generation: u32,
    pub(crate) random: u64,
    pub(crate) environment: Vec<(String, String)>,
}

/// A VM with its root context.
pub(crate) struct Vm {
    store: Store<VmState>,
    instance: Instance,
    pub(crate) root: u32,
    pub(crate) failed: bool,
}

impl Vm {
    /// Instantiates the module and runs its constructors; not yet started.
    pub(crate) fn new(module: &GuestModule, seed: VmSeed) -> Result<Self, String> {
        let state = VmState {
            process: seed.process,
            vm: seed.vm,
            generation: seed.generation,
            memory: None,
            allocate: None,
            contexts: HashMap::new(),
            next_context: 0,
            current: 0,
            effective: 0,
            stop_iteration: false,
            actions: VecDeque::new(),
            calls: HashMap::new(),
            last_call: 0,
            call_reply: None,
            plugin_configuration: None,
            metrics: Vec::new(),
            tick_serial: None,
            environment: seed.environment,
            random: seed.random,
            told: Told::default(),
        };
        let mut store = Store::new(&module.engine, state);
        if module.counts {
            store.set_fuel(u64::MAX).map_err(|error| format!("{error:?}"))?;
        }
        let mut linker = Linker::new(&module.engine);
        crate::imports::define(&mut linker).map_err(|error| format!("{error:?}"))?;
        if module.tells {
            let entered = |mut guest: Caller<'_, VmState>, function: u32| {
                let entered = &mut guest.data_mut().told.entered;
                if !entered.contains(&function) {
                    entered.push(function);
                }
            };
            linker.func_wrap("env", "entered", entered).map_err(|error| format!("{error:?}"))?;
            let branch = |mut guest: Caller<'_, VmState>, condition: u32, branch: u32| {
                let went = guest.data_mut().told.branches.entry(branch).or_default();
                went[usize::from(condition != 0)] += 1;
                condition
            };
            linker.func_wrap("env", "branch", branch).map_err(|error| format!("{error:?}"))?;
        }
        let instance =
            linker.instantiate(&mut store, &module.module).map_err(|error| format!("cannot start: {error:?}"))?;
        if instance.get_func(&mut store, "proxy_abi_version_0_2_1").is_none() {
            return Err("the module does not export proxy_abi_version_0_2_1".to_owned());
        }
        store.data_mut().memory = instance.get_memory(&mut store, "memory");
        store.data_mut().allocate =
            ["proxy_on_memory_allocate", "malloc"].into_iter().find_map(|name| instance.get_func(&mut store, name));
        let root = store.data_mut().add_context(Context::Root);
        let mut vm = Self { store, instance, root, failed: false };
        for constructor in ["_initialize", "_start"] {
            if vm.has(constructor) {
                vm.call(root, constructor, &[])?;
                break;
            }
        }
        Ok(vm)
    }

    /// The state that host functions work on.
    pub(crate) fn state(&mut self) -> &mut VmState {
        self.store.data_mut()
    }

    /// How much memory the guest has.
    pub(crate) fn memory_bytes(&mut self) -> usize {
        let memory = self.store.data().memory;
        memory.map_or(0, |memory| memory.data_size(&self.store))
    }

    /// How many instructions the guest has run, where they are counted.
    pub(crate) fn instructions(&self) -> Option<u64> {
        self.store.get_fuel().ok().map(|left| u64::MAX - left)
    }

    /// What the guest told since this was asked last.
    pub(crate) fn told(&mut self) -> Told {
        std::mem::take(&mut self.state().told)
    }

    /// Whether the guest exports such a callback.
    pub(crate) fn has(&mut self, name: &str) -> bool {
        self.instance.get_func(&mut self.store, name).is_some()
    }

    /// Calls into the guest on behalf of a context. A callback that is not exported returns nothing. A trap is the end of
    /// the VM.
    pub(crate) fn call(&mut self, context: u32, name: &str, args: &[u32]) -> Result<Option<u32>, String> {
        if self.failed {
            return Err("the VM has failed before".to_owned());
        }
        let Some(function) = self.instance.get_func(&mut self.store, name) else { return Ok(None) };
        let kind = function.ty(&self.store);
        let params: Vec<_> = args.iter().take(kind.params().len()).map(|&arg| Val::I32(arg as i32)).collect();
        let mut results: Vec<_> = kind.results().map(|_| Val::I32(0)).collect();
        let state = self.store.data_mut();
        (state.current, state.effective, state.stop_iteration) = (context, 0, false);
        match function.call(self.store.as_context_mut(), &params, &mut results) {
            Ok(()) => Ok(results.first().and_then(Val::i32).map(|value| value as u32)),
            Err(error) => {
                self.fail(&format!("{name} failed: {error:?}"));
                Err(format!("{name}: {error:?}"))
            }
        }
    }

    /// Ends the VM: what was asked for in the callback is forgotten.
    pub(crate) fn fail(&mut self, why: &str) {
        self.failed = true;
        let state = self.store.data_mut();
        state.actions.clear();
        state.calls.clear();
        let vm = state.vm;
        state.process.borrow_mut().log(vm, 5, format!("the VM failed: {why}").as_bytes());
    }
}
