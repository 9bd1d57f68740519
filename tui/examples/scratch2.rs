use aya::programs::*;
use ipcscope::source::live::*;
use std::time::Instant;
use zerocopy::IntoBytes;
fn main() {
    let k = offsets::kernel().unwrap();
    let s = ipcscope_common::settings::Settings {
        payload_limit: 64,
        follow: 1,
        prev_state_argument: 3,
        signals: 1,
        pipes: 1,
        sched: 1,
    };
    let btf = aya::Btf::from_sys_fs().unwrap();
    let t = Instant::now();
    let classes = [1u8; 512];
    let mut e = aya::EbpfLoader::new()
        .btf(Some(&btf))
        .override_global("OFFSETS", k.offsets.as_bytes(), true)
        .override_global("SETTINGS", s.as_bytes(), true)
        .override_global("CLASSES", classes.as_slice(), true)
        .load(&std::fs::read("tui/ebpf/ipcscope.bpf.o").unwrap())
        .unwrap();
    println!("load {:?}", t.elapsed());
    for n in ["sys_enter", "sys_exit", "sched_switch", "sched_waking", "signal_generate", "sched_process_exec"] {
        let p: &mut BtfTracePoint = e.program_mut(n).unwrap().try_into().unwrap();
        let t = Instant::now();
        p.load(n, &btf).unwrap();
        let i = p.info().unwrap();
        println!(
            "{n} load {:?} insns {:?} xlated {:?}",
            t.elapsed(),
            i.verified_instruction_count(),
            i.size_translated()
        );
        let t = Instant::now();
        p.attach().unwrap();
        println!("  attach {:?}", t.elapsed());
    }
}
