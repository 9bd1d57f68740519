use ipcscope::decode::Decoder;
use ipcscope::source::live::*;
use ipcscope::sys::launch::*;
fn main() {
    let argv: Vec<_> = std::env::args_os().skip(1).collect();
    let t = std::time::Instant::now();
    let mut s = match Session::start(
        Target::Command(Launch { argv, user: None, terminal: Terminal::Inherit }),
        Capture {
            follow: true,
            signals: true,
            pipes: true,
            sched: std::env::var("NOSCHED").is_err(),
            payload: 64,
            ring: 64 << 20,
            floor: false,
        },
    ) {
        Ok(s) => s,
        Err(e) => {
            eprintln!("{e}");
            std::process::exit(e.exit_status())
        }
    };
    eprintln!("started {:?}", t.elapsed());
    println!("{}", s.header.to_json());
    let mut d = Decoder::new(ipcscope::event::FamilySet::all());
    let mut out = vec![];
    let quiet = std::env::var("QUIET").is_ok();
    let mut n = 0;
    let mut unk = 0;
    let mut recs = 0;
    let mut rn = 0;
    let mut ended = false;
    loop {
        match s.batches.recv_timeout(std::time::Duration::from_millis(20)) {
            Ok(b) => {
                for r in b.iter() {
                    recs += 1;
                    d.record(r, &mut out);
                }
            }
            Err(crossbeam_channel::RecvTimeoutError::Disconnected) => break,
            _ => {}
        }
        n += out.len();
        for e in out.drain(..) {
            if let ipcscope::event::Kind::Recv(t) = &e.kind {
                if t.bytes.unwrap_or(0) > 0 {
                    rn += 1;
                    if t.from_unknown.is_some() {
                        unk += 1
                    }
                }
            }
            if !quiet {
                println!("{}", e.to_json())
            }
        }
        if !ended {
            if let Some(r) = s.running.as_mut().unwrap().try_wait().unwrap() {
                eprintln!("{r:?}");
                ended = true;
                s.wind_down();
            }
        }
    }
    d.finish(&mut out);
    n += out.len();
    if !quiet {
        for e in out.drain(..) {
            println!("{}", e.to_json())
        }
    }
    eprintln!(
        "events {n} records {recs} recv {rn} unknown {unk} lost {} {:?} damaged {}",
        d.lost(),
        d.lost_by(),
        d.damaged()
    );
}
