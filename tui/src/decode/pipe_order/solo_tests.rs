//! Tables for one reader and one writer.

use super::*;

/// `w1:5-9=100`: write 1 entered at 5, exited at 9 with 100 bytes; `r` a read, `p` a packet write, `t` tee's source;
/// `f9=100`: right after the last call, at 9, it held 100 bytes; `b1:5`: a write that blocks, reported without its exit; `e1:9=50` that exit.
fn play(order: &mut PipeOrder, script: &str) -> String {
    let mut last = Side::Write;
    for word in script.split_whitespace() {
        let (what, rest) = word.split_at(1);
        let (call, rest) = rest.split_once(':').unwrap_or((rest, ""));
        let (times, ret) = rest.split_once('=').unwrap_or((rest, "0"));
        let (entered, exited) = times.split_once('-').unwrap_or((times, times));
        let number = |text: &str| text.parse::<u64>().unwrap_or_default();
        let (call, ret) = (number(call), ret.parse::<i64>().unwrap_or_default());
        let (side, method) = match what {
            "r" => (Side::Read, Method::Plain),
            "t" => (Side::Read, Method::Peek),
            "p" => (Side::Write, Method::Packet),
            _ => (Side::Write, Method::Plain),
        };
        let task = if side == Side::Read { 64 } else { 128 };
        if what != "f" {
            last = side;
        }
        match what {
            "f" => order.filled(number(entered), last, ret as u64),
            "L" => order.lost(number(entered), 0),
            "e" => order.exit(number(exited), call, ret, None),
            "b" => {
                order.enter(number(entered), call, task, side, method, None, None);
                order.switch_out(number(entered) + 1, call, true, None);
            }
            _ => {
                order.enter(number(entered), call, task, side, method, None, None);
                order.exit(number(exited), call, ret, None);
            }
        }
    }
    let show = |one: Resolved| match one {
        Resolved::Read { call, parts, offset, discarded } => {
            let parts: Vec<String> = parts.iter().map(|part| format!("{}x{}", part.write, part.bytes)).collect();
            let gone = discarded.filter(|&bytes| bytes > 0).map_or(String::new(), |bytes| format!("-{bytes}"));
            format!("r{call}={}@{}{gone}", parts.join("+"), offset.map_or("?".into(), |offset| offset.to_string()))
        }
        Resolved::Unknown { call, why } => format!("r{call}?{why:?}"),
        Resolved::Write { call, offset } => {
            format!("w{call}@{}", offset.map_or("?".into(), |offset| offset.to_string()))
        }
    };
    order.resolved().map(show).collect::<Vec<_>>().join(" ")
}

#[test]
fn pipe_order_solo_table() {
    let table = [
        // A read is seen before the write it got its bytes from.
        ("r2:1-5=10 w1:2-6=10 r4:7-11=20 w3:8-12=20", "w1@0 r2=1x10@0 w3@10 r4=3x20@10"),
        // One read, several writes, and parts of one.
        ("w1:1-2=10 w2:3-4=10 r3:5-6=15 r4:7-8=5", "w1@0 w2@10 r3=1x10+2x5@0 r4=2x5@15"),
        // A large write is drained while it blocks.
        ("b1:1 r2:2-3=4096 r3:4-5=4096 e1:6=9000 r4:7-8=808", "r2=1x4096@0 r3=1x4096@4096 w1@0 r4=1x808@8192"),
        // It cannot have put less than was read.
        ("b1:1 r2:2-3=100 e1:4=50 r3:5-6=1", "r2=1x100@0 w1@? r3?Lost"),
        // A read cannot have waited for a write that began after it returned.
        ("r2:1-5=10 w1:6-7=10", "w1@0 r2?Lost"),
        // A packet's rest is gone.
        ("p1:1-2=100 p2:3-4=50 r3:5-6=10 r4:7-8=50", "w1@0 w2@100 r3=1x10@0-90 r4=2x50@100"),
        // A large packet write is several packets.
        ("p1:1-2=5000 r2:3-4=4000 r3:5-6=904", "w1@0 r2=1x4000@0-96 r3=1x904@4096"),
        // tee looks, the read takes.
        ("w1:1-2=10 t2:3-4=6 r3:5-6=10", "w1@0 r2=1x6@0 r3=1x10@0"),
        // Calls without bytes say nothing.
        ("r2:1-2=-512 w1:1-3=-11 w3:4-5=0 r4:6-7=0", ""),
        // Missing records: nothing is known until the pipe is seen.
        ("w1:1-2=10 L:3 r2:4-5=10 w3:6-7=1", "w1@0 r2?Lost w3@?"),
    ];
    for (script, wanted) in table {
        assert_eq!(play(&mut PipeOrder::created(16), script), wanted, "{script}");
    }
}

/// Bytes that moved unseen show in what the pipe holds, as soon as it is clear that nobody known was at work.
#[test]
fn pipe_order_solo_counts_must_agree_with_what_is_seen() {
    let table = [
        ("w1:1-2=10 f:2=10 r2:200000-200001=10", "w1@0 r2=1x10@0"),
        // Somebody has put 10 bytes more.
        ("w1:1-2=10 f:2=20 r2:200000-200001=10", "w1@0 r2?Overlap"),
        // Somebody has taken them.
        ("w1:1-2=10 f:2=0 w3:4-5=10 r2:200000-200001=10", "w1@0 w3@10 r2?Overlap"),
        ("w1:1-2=10 r2:3-4=5 f:4=3 w3:200000-200001=10 r4:200002-200003=5", "w1@0 r2=1x5@0 w3@? r4?Overlap"),
        // The reader may have been at it.
        ("w1:1-2=10 f:2=0 r2:1-3=10", "w1@0 r2=1x10@0"),
    ];
    for (script, wanted) in table {
        assert_eq!(play(&mut PipeOrder::created(16), script), wanted, "{script}");
    }
}

#[test]
fn pipe_order_solo_found() {
    let mut order = PipeOrder::found(16, Some(10));
    assert_eq!(play(&mut order, "w1:1-2=5 r2:3-4=8 r3:5-6=4 r4:7-8=3"), "w1@? r2?BeforeStart r3?BeforeStart r4=1x3@?");
    let mut order = PipeOrder::found(16, None);
    assert_eq!(play(&mut order, "w1:1-2=5 r2:3-4=5"), "w1@? r2?BeforeStart");
    order.layout(10, Layout::default());
    assert_eq!(play(&mut order, "w3:11-12=5 r4:11-13=5 w5:14-15=2"), "w3@? r4=3x5@? w5@?");
    assert_eq!(order.leftover(), Some(vec![Leftover { write: Some(5), bytes: 2 }]));
}

/// What is seen between two gaps of one span of loss says nothing about what comes behind the second.
#[test]
fn pipe_order_solo_is_blind_while_records_are_missing() {
    let mut order = PipeOrder::created(16);
    order.lost(10, 50);
    order.layout(20, Layout::default());
    assert_eq!(play(&mut order, "w1:21-22=5 r2:23-24=5"), "w1@? r2?Lost");
    order.lost(50, 50);
    order.layout(60, Layout::default());
    assert_eq!(play(&mut order, "w3:61-62=5 r4:63-64=5"), "w3@? r4=3x5@?");
}

#[test]
fn pipe_order_solo_seen_with_calls_in_flight() {
    let mut order = PipeOrder::found(16, None);
    order.layout(10, Layout::default());
    assert_eq!(play(&mut order, "w1:9-12=5 r2:11-13=5"), "w1@? r2?Lost");
}
