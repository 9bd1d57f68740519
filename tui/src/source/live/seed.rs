//! What is there before the first event: BPF iterators enter threads into the filter and tell of threads and descriptors.

use std::{fs::File, io::Read};

use aya::{
    maps::HashMap,
    programs::{Iter, ProgramError},
};

use super::probes::{ProbeError, Probes};

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
    let mut rows = walk(probes, "seed_task", "task", size_of::<ipcscope_common::process::Found>())?;
    rows.extend(walk(probes, "seed_file", "task_file", size_of::<ipcscope_common::descriptor::Descriptor>())?);
    Ok(rows)
}

fn walk(probes: &mut Probes, name: &'static str, kind: &'static str, row: usize) -> Result<Vec<Vec<u8>>, ProbeError> {
    let failed = |source: ProgramError| ProbeError::Program { name, source };
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
    Ok(bytes.chunks_exact(row).map(<[u8]>::to_vec).collect())
}
