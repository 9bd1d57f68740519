//! What is there before the first event: BPF iterators enter threads into the filter and tell of threads and descriptors.

use std::{
    fs::{self, File},
    io::Read,
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::PathBuf,
};

use aya::{
    maps::HashMap,
    programs::{Iter, ProgramError},
};

use ipcscope_common::{
    Header,
    descriptor::{CHANNEL_PATH, ChannelPath, Descriptor, FOUND_HELD, object},
    mqueue::{MQUEUE_FACTS, MqueueFacts},
    object::{OBJECT_FACTS, ObjectFacts},
    process::{FOUND, Found},
};
use zerocopy::{FromBytes as _, FromZeros as _, IntoBytes as _};

use super::{
    probes::{ProbeError, Probes},
    quiet::Quiet,
};

/// Puts processes into the filter, with all their threads; answers rows as wire records, one after the other.
/// `held`: they are stopped before their exec by us.
pub fn seed(probes: &mut Probes, pids: &[u32], held: bool) -> Result<Vec<Vec<u8>>, ProbeError> {
    {
        let map = probes.ebpf.map_mut("SEEDS").ok_or(ProbeError::Absent("SEEDS"))?;
        let problem = |source| ProbeError::Map { name: "SEEDS", source };
        let mut seeds: HashMap<_, u32, u32> = HashMap::try_from(map).map_err(problem)?;
        for pid in pids {
            seeds.insert(pid, u32::from(held), 0).map_err(problem)?;
        }
    }
    let mut rows = walk(probes, "seed_task", "task")?;
    for row in walk(probes, "seed_file", "task_file")? {
        rows.extend(Descriptor::read_from_bytes(&row).ok().and_then(|held| path(&held)));
        rows.push(row);
    }
    Ok(rows)
}

/// Where the named pipe behind a descriptor is, as a record.
fn path(held: &Descriptor) -> Option<Vec<u8>> {
    if held.object != object::FIFO {
        return None;
    }
    let link = PathBuf::from(format!("/proc/{}/fd/{}", held.header.tgid, held.fd));
    let (path, metadata) = (fs::read_link(&link).ok()?, fs::metadata(&link).ok()?);
    if metadata.ino() != held.ino || !path.is_absolute() {
        // The number is used for something else by now.
        return None;
    }
    let mut record = ChannelPath::new_zeroed();
    record.header = Header { kind: CHANNEL_PATH, ..held.header };
    (record.ino, record.dev, record.mode, record.owner) = (held.ino, held.dev, metadata.mode(), metadata.uid());
    for part in path.as_os_str().as_bytes().split(|byte| *byte == b'/').rev().filter(|part| !part.is_empty()) {
        let place = record.parts.get_mut(record.count as usize)?;
        if part.len() >= place.len() {
            return None;
        }
        for (to, from) in place.iter_mut().zip(part) {
            *to = *from;
        }
        record.count += 1;
    }
    Some(record.as_bytes().to_vec())
}

/// The length of a row of that kind.
fn length(kind: u16) -> Option<usize> {
    match kind {
        FOUND => Some(size_of::<Found>()),
        FOUND_HELD => Some(size_of::<Descriptor>()),
        MQUEUE_FACTS => Some(size_of::<MqueueFacts>()),
        OBJECT_FACTS => Some(size_of::<ObjectFacts>()),
        _ => None,
    }
}

/// Rows, one behind the other; what is not one of ours ends them.
fn split(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut rows = Vec::new();
    while let Ok((header, _)) = Header::read_from_prefix(bytes)
        && let Some((row, rest)) = length(header.kind).and_then(|length| bytes.split_at_checked(length))
    {
        rows.push(row.to_vec());
        bytes = rest;
    }
    rows
}

fn walk(probes: &mut Probes, name: &'static str, kind: &'static str) -> Result<Vec<Vec<u8>>, ProbeError> {
    let failed = |source: ProgramError| ProbeError::Program { name, source };
    let _quiet = Quiet::begin();
    let program: &mut Iter =
        probes.ebpf.program_mut(name).ok_or(ProbeError::Absent(name))?.try_into().map_err(failed)?;
    if program.fd().is_err() {
        program.load(kind, &probes.btf).map_err(failed)?;
    }
    let link = program.attach().map_err(failed)?;
    let link = program.take_link(link).map_err(failed)?;
    let iterate = |source| ProbeError::Iterate { what: kind, source };
    let mut file: File = link.into_file().map_err(|error| iterate(std::io::Error::other(error)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(iterate)?;
    Ok(split(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_several_kinds_are_told_apart() {
        let mut facts = MqueueFacts::new_zeroed();
        facts.header.kind = MQUEUE_FACTS;
        let mut held = Descriptor::new_zeroed();
        held.header.kind = FOUND_HELD;
        let mut bytes = [facts.as_bytes(), held.as_bytes(), held.as_bytes()].concat();
        let lengths = |bytes: &[u8]| split(bytes).iter().map(Vec::len).collect::<Vec<_>>();
        let (of_facts, of_held) = (size_of::<MqueueFacts>(), size_of::<Descriptor>());
        assert_eq!(lengths(&bytes), [of_facts, of_held, of_held]);
        bytes.pop();
        assert_eq!(lengths(&bytes), [of_facts, of_held]);
        assert!(split(&[0; 100]).is_empty());
    }
}
