//! Filters: what they let pass, and where a mistake is.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use super::Filter;
use crate::model::script::parse;

/// One letter per event, so that a test is a word.
const EVENTS: &str = "\
0.5 10 wc fork 42
1 42 wc exec /bin/wc -l
1.5 42 WC read 8124 0 28 took 2ms blocked 1500us from overlap payload Hello World
2 42 wc write fifo:/tmp/f 1 300 took 5us
2.5 42 wc state BLOCKED read 8124
3 10 sh signal USR1 42 generated state BLOCKED syscall kill
3.5 42 wc signal USR1 42 delivered handler 0x10 pending 11us interrupted read:8124 verdict EINTR
4 42 wc write 81240 1 EPIPE
4.5 42 wc exit SIGPIPE
5 - - lost 3 calls 4 5
5.5 42 wc close pipe:[8124]#2 r 0
";
const LETTERS: &str = "fxrwbgdpels";

fn passing(filter: &str) -> String {
    let filter = Filter::parse(filter).unwrap();
    let events = parse(EVENTS).unwrap();
    events.iter().zip(LETTERS.chars()).filter(|(event, _)| filter.matches(event)).map(|(_, c)| c).collect()
}

#[test]
fn fields() {
    for (filter, expected) in [
        ("", LETTERS),
        ("   ", LETTERS),
        ("kind:signal", "gd"),
        ("kind:SEND", "wp"),
        ("type:pipe", "rbps"),
        ("type:fifo", "w"),
        ("pid:10", "fg"),
        ("pid:42", "xrwbgdpes"),
        ("comm:wc", "fxrwbdpes"),
        ("channel:8124", "rbds"),
        ("channel:[8124]", "rbds"),
        ("channel:pipe:[8124]", "rbd"),
        ("channel:8124#2", "s"),
        ("channel:/tmp/f", "w"),
        ("signal:USR1", "gd"),
        ("signal:sigusr1", "gd"),
        ("signal:10", "gd"),
        ("signal:PIPE", "e"),
        ("state:blocked", "bg"),
        ("syscall:read", "rbd"),
        ("syscall:kill", "g"),
        ("error:epipe", "p"),
        ("bytes>100", "w"),
        ("bytes>=28", "rw"),
        ("bytes:28", "r"),
        ("bytes!=28", "w"),
        ("bytes<1KiB", "rw"),
        ("blocked>1.4ms", "r"),
        ("blocked>1500µs", ""),
        ("blocked=1500us", "r"),
        ("latency>1ms", "r"),
        ("latency<=11us kind:signal", "d"),
        ("t:1.5..2.0", "rw"),
        ("t:4.75..", "ls"),
        ("t:..0.5", "f"),
        ("t>5", "s"),
        ("t<600ms", "f"),
    ] {
        assert_eq!(passing(filter), expected, "{filter}");
    }
}

#[test]
fn words_and_logic() {
    for (filter, expected) in [
        ("hello", "r"),
        ("'Hello World'", "r"),
        ("\"o w\"", "r"),
        ("comm:\"wc\"", "fxrwbdpes"),
        ("eintr", "d"),
        ("\"/tmp\"", "w"),
        ("\"pipe:\"", "rbdps"),
        ("overlap", "r"),
        ("kind:send bytes>100", "w"),
        ("kind:send | kind:recv", "rwp"),
        ("kind:send|kind:recv", "rwp"),
        ("kind:send bytes>100 | kind:lost", "wl"),
        ("kind:send (bytes>100 | error:EPIPE)", "wp"),
        ("kind:send !bytes>100", "p"),
        ("!(kind:send | kind:recv) type:pipe", "bs"),
        ("!!kind:lost", "l"),
        ("! kind:lost !pid:42", "f"),
        ("((kind:lost))", "l"),
    ] {
        assert_eq!(passing(filter), expected, "{filter}");
    }
}

#[test]
fn mistakes_have_their_place() {
    for (filter, column, part) in [
        ("kid:send", 0, "did you mean `kind`? Fields are kind, type"),
        ("bytes>1 pipe:[8124]", 8, "unknown field `pipe`: to search for text, put it in quotes. Fields are kind"),
        ("http://x", 0, "put it in quotes"),
        (
            "kind:sent",
            5,
            "`sent` is no kind; there are fork, exec, exit, state, channel, send, recv, signal, rpc, lost. Did you mean `kind:send`?",
        ),
        ("type:ether", 5, "there are pipe, fifo"),
        ("state:WAITING", 6, "there are NEW, READY"),
        ("pid:ls", 4, "not a process id"),
        ("signal:USR9", 7, "not a signal"),
        ("comm>wc", 0, "write `comm:wc`"),
        ("comm:", 5, "a value is missing after `comm:`"),
        ("blocked>10", 8, "with its unit (ns, us, µs, ms, s)"),
        ("bytes>10ms", 6, "not bytes"),
        ("t:5", 2, "as in `t:1.5..2.0`"),
        ("t:2..1", 2, "ends before it begins"),
        (">5", 0, "a field is missing before `>`"),
        ("(a | b", 0, "never closed"),
        ("a b)", 3, "no bracket is open"),
        ("a |", 3, "a word is missing"),
        ("| a", 0, "a word is missing"),
        ("()", 1, "a word is missing"),
        ("a !", 3, "missing after `!`"),
        ("é \"abc", 2, "quote is never closed"),
        ("\"\"", 0, "quotes are empty"),
    ] {
        let error = Filter::parse(filter).unwrap_err();
        assert_eq!(error.column, column, "{filter}: {error}");
        assert!(error.message.contains(part), "{filter}: {error}");
    }
    assert!(Filter::parse(&format!("{}a{}", "(".repeat(64), ")".repeat(64))).is_ok());
    assert!(Filter::parse(&"(".repeat(100_000)).unwrap_err().message.contains("64 brackets"));
    assert!(Filter::parse(&format!("{}a", "!".repeat(100_000))).is_ok());
    assert_eq!(Filter::parse("bytes>x").unwrap_err().to_string(), "`x` is not bytes, as in 100 or 64KiB at column 7");
}
