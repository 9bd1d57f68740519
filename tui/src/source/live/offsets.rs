//! Where the running kernel keeps the fields the probes read, from its own BTF.

use std::{collections::BTreeMap, fs, io};

use btfparse::{Offset, Readable, TypeInformation, TypeVariant};
use ipcscope_common::offsets::{ABSENT, FIELDS, OPTIONAL, OPTIONAL_MEMBERS, Offsets};
use zerocopy::FromBytes;

use crate::sys::host;

/// The kernel's description of its own types.
const BTF: &str = "/sys/kernel/btf/vmlinux";

/// What the probes must know about this kernel.
#[derive(Clone, Copy, Debug)]
pub struct Kernel {
    /// The fields' places.
    pub offsets: Offsets,
    /// Which argument of `sched_switch` is `prev_state`: 1, 3, or 0 for none.
    pub prev_state_argument: u32,
    /// Looking into task storage cannot fail in an interrupt: from 6.2 on, which has another function for it.
    pub storage_in_interrupts: bool,
    /// `kmem_cache_alloc_node` is there: before 6.1.
    pub alloc_on_node: bool,
    /// `contention_begin` is there: since 5.19.
    pub contention: bool,
    /// `sk_data_ready` is there: since 6.4.
    pub arrivals: bool,
    /// Which argument of `io_uring_complete` has the result: 2, 3, or 0 where it does not tell of which request it is.
    pub ring_result_argument: u32,
    /// `io_uring_submit_req` is there: since 6.3.
    pub ring_requests: bool,
}

/// Why the kernel could not be understood.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// Before anything is looked for that it cannot have.
    #[error("trace: the kernel {0}; boot a newer one. `ipcscope doctor` tells more")]
    TooOld(String),
    /// No BTF.
    #[error(
        "read {BTF}: {0}. This kernel does not describe its types; it needs CONFIG_DEBUG_INFO_BTF=y, as the kernels of \
         all large distributions have since 2021"
    )]
    Read(#[source] io::Error),
    /// BTF of a newer kind.
    #[error("understand {BTF}: {0}. Please report this with the kernel's version")]
    Parse(String),
    /// A field that the probes cannot do without.
    #[error("find {structure}.{member} in {BTF}: this kernel is too old (5.15 is needed) or too new")]
    Missing {
        /// The structure.
        structure: &'static str,
        /// The member's path.
        member: &'static str,
    },
}

/// The whole file in memory: the parser reads it in small pieces.
struct InMemory(Vec<u8>);

impl Readable for InMemory {
    fn read(&self, offset: u64, buffer: &mut [u8]) -> btfparse::Result<()> {
        let start = offset as usize;
        match self.0.get(start..start.saturating_add(buffer.len())) {
            Some(bytes) => {
                buffer.copy_from_slice(bytes);
                Ok(())
            }
            None => Err(btfparse::Error::new(btfparse::ErrorKind::IOError, "end of file")),
        }
    }
}

/// Reads the running kernel's BTF.
pub fn kernel() -> Result<Kernel, KernelError> {
    if let Some(why) = host::too_old() {
        return Err(KernelError::TooOld(why));
    }
    let types = TypeInformation::new(&InMemory(fs::read(BTF).map_err(KernelError::Read)?))
        .map_err(|error| KernelError::Parse(error.message().to_owned()))?;
    let structures = structures(&types);
    let mut places = Vec::with_capacity(FIELDS.len());
    for &(structure, member) in FIELDS {
        let id = structures.get(structure).copied();
        let place = id.and_then(|id| place(&types, id, member));
        let may_lack = OPTIONAL.contains(&structure) && id.is_none();
        let place = place.or_else(|| (may_lack || OPTIONAL_MEMBERS.contains(&member)).then_some(ABSENT));
        places.push(place.ok_or(KernelError::Missing { structure, member })?);
    }
    let bytes: Vec<u8> = places.into_iter().flat_map(u32::to_ne_bytes).collect();
    let offsets = Offsets::read_from_bytes(&bytes).unwrap_or(Offsets::NONE);
    Ok(Kernel {
        offsets,
        prev_state_argument: prev_state_argument(&types),
        alloc_on_node: types.id_of("btf_trace_kmem_cache_alloc_node").is_some(),
        contention: types.id_of("btf_trace_contention_begin").is_some(),
        arrivals: types.id_of("btf_trace_sk_data_ready").is_some(),
        ring_result_argument: ring_result_argument(&types),
        ring_requests: types.id_of("btf_trace_io_uring_submit_req").is_some(),
        storage_in_interrupts: types.id_of("bpf_task_storage_get_recur").is_some(),
    })
}

/// All structures by their names, which functions may have, too.
fn structures(types: &TypeInformation) -> BTreeMap<String, u32> {
    let all = types.get().iter().filter(|(_, found)| matches!(found, TypeVariant::Struct(_)));
    all.filter_map(|(&id, _)| Some((types.name_of(id)?, id))).collect()
}

/// A member's byte offset.
fn place(types: &TypeInformation, id: u32, member: &str) -> Option<u32> {
    if member == "sizeof" {
        return types.size_of(id).ok().and_then(|size| u32::try_from(size).ok());
    }
    match types.offset_of(id, member).ok()?.1 {
        Offset::ByteOffset(place) if place < ABSENT => Some(place),
        _ => None,
    }
}

/// For each parameter of a tracepoint whether it is a pointer. The first is the tracepoint's own data.
fn parameters(types: &TypeInformation, tracepoint: &str) -> Option<Vec<bool>> {
    let mut at = types.from_id(types.id_of(tracepoint)?)?;
    for _ in 0..3 {
        at = match at {
            TypeVariant::Typedef(typedef) => types.from_id(*typedef.tid())?,
            TypeVariant::Ptr(pointer) => types.from_id(*pointer.tid())?,
            other => other,
        };
    }
    let TypeVariant::FuncProto(proto) = at else { return None };
    let is_pointer = |id: u32| types.from_id(id).is_some_and(|found| matches!(found, TypeVariant::Ptr(_)));
    Some(proto.parameter_list().iter().map(|parameter| is_pointer(parameter.tid())).collect())
}

/// `sched_switch` got its state argument in 5.18, in front of the tasks, and later behind them: its type tells.
fn prev_state_argument(types: &TypeInformation) -> u32 {
    // Data, preempt, the state or a task, …
    match parameters(types, "btf_trace_sched_switch").as_deref() {
        Some([_, _, true, _, _, ..]) => 3,
        Some([_, _, _, _, _, ..]) => 1,
        _ => 0,
    }
}

/// `io_uring_complete` has told of the request since 5.19, and of its result in a structure since 6.14.
fn ring_result_argument(types: &TypeInformation) -> u32 {
    // Data, the ring, the request, and what came of it, or what the program calls it and what came of it.
    match parameters(types, "btf_trace_io_uring_complete").as_deref() {
        Some([_, true, true, true]) => 2,
        Some([_, true, true, false, false, ..]) => 3,
        _ => 0,
    }
}
