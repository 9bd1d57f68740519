use ipcscope::source::live::*;
use std::time::Instant;
fn main() {
    let t = Instant::now();
    let k = offsets::kernel().unwrap();
    println!("{:?} btf {:?}", k, t.elapsed());
    let s = ipcscope_common::settings::Settings {
        payload_limit: 64,
        follow: 1,
        prev_state_argument: k.prev_state_argument,
        signals: 1,
        pipes: 1,
        sched: 1,
    };
    let t = Instant::now();
    match probes::Probes::attach(&k, &s, 16 << 20, false) {
        Ok(mut p) => {
            println!("attached {:?} {:?}", p.hooks, t.elapsed());
            let rows = seed::seed(&mut p, &[std::process::id()], false).unwrap();
            println!("rows {}", rows.len());
        }
        Err(e) => println!("{e}"),
    }
}
