//! System V semaphores and shared memory: what was done to them, who let whom go on, who has what attached.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::collections::HashMap;

use common::{Trace, Value, number, text, trace_with, trace_workload, workload};

/// `who event` of a channel's life.
fn life<'a>(trace: &'a Trace, channel: &'a str) -> Vec<&'a Value> {
    trace.on("channel", channel).collect()
}

/// Whether it is of the process whose number the workload told.
fn is_of(event: &Value, pid: &str) -> bool {
    event["pid"].as_u64() == pid.parse().ok()
}

fn changes(events: &[&Value]) -> Vec<String> {
    events.iter().map(|event| text(event, "event").to_owned()).collect()
}

#[test]
#[ignore = "root"]
fn who_waits_for_a_semaphore_is_let_go_by_somebody() {
    let (trace, truth) = trace_workload(&["semaphores"]);
    let channel = &truth["channel"];
    let life = life(&trace, channel);
    assert_eq!(changes(&life), ["created", "opened", "changed", "removed"]);
    for event in &life[..2] {
        assert_eq!((text(event, "key"), &event["slots"]), (truth["key"].as_str(), &Value::from(5)), "{event}");
        assert_eq!(event["mode"], "640", "{event}");
    }
    assert_eq!((&life[2]["semaphore"], &life[2]["value"]), (&Value::from(4), &Value::from(3)));
    let refused = trace.one("a refusal", |event| event["kind"] == "channel" && event["error"] == "EEXIST");
    assert_eq!((text(refused, "event"), text(refused, "key")), ("refused", truth["key"].as_str()));

    let gives: HashMap<u64, &Value> = trace.on("send", channel).map(|send| (number(send, "op"), send)).collect();
    let mut let_go = 0;
    for (name, giver) in truth.iter().filter_map(|(name, giver)| Some((name.strip_prefix("let-go-")?, giver))) {
        let take = trace.on("recv", channel).find(|take| is_of(take, name)).unwrap();
        let [from] = take["from"].as_array().unwrap().as_slice() else { panic!("one let it go: {take}") };
        let give = gives[&number(from, "op")];
        assert_eq!((give["pid"].to_string(), &give["pid"]), (giver.clone(), &from["pid"]), "{take}");
        assert_eq!(give["operations"][0]["semaphore"], take["operations"][0]["semaphore"]);
        assert!(number(take, "blocked_ns") > 0, "{take}");
        // It was given and taken at once: nobody ever saw it above zero.
        assert_eq!((&give["operations"][0]["value"], &take["operations"][0]["value"]), (&0.into(), &0.into()));
        let mut waits = trace.kind("state").filter(|state| state["pid"] == take["pid"] && state["to"] == "BLOCKED");
        assert!(waits.any(|state| state["on"]["channel"] == channel.as_str()), "{take}");
        let_go += 1;
    }
    assert_eq!(let_go, 3);

    let both = trace.on("recv", channel).find(|take| take["operations"].as_array().unwrap().len() == 2).unwrap();
    assert_eq!(both["operations"][0].to_string(), r#"{"change":-2,"semaphore":4,"undo":true,"value":1}"#);
    assert_eq!(both["operations"][1].to_string(), r#"{"change":0,"semaphore":2,"value":0}"#);
    let given = gives[&number(both, "op")];
    assert_eq!(given["operations"].to_string(), r#"[{"change":2,"semaphore":3,"value":2}]"#);
    let failed: Vec<&str> = trace.on("recv", channel).filter_map(|take| take["error"].as_str()).collect();
    assert_eq!((failed, truth["refused"].as_str()), (vec!["EAGAIN", "EIDRM"], "EAGAIN"));
}

/// Every claim is checked against what the givers gave; answers how many takes had to wait.
fn load(givers: u32, takers: u32, rounds: u32) -> usize {
    let words = [givers, takers, rounds].map(|n| n.to_string());
    let program = workload();
    let command = [program.to_str().unwrap(), "sem-load", &words[0], &words[1], &words[2]];
    let trace = trace_with(&["-e", "sync,process,sched", "--buffer", "128M"], &command);
    trace.is_well_formed();
    assert_eq!(trace.end["lost"], 0, "{}", trace.end);
    let channel = &common::truths(&trace.stdout)["channel"];
    let gives: HashMap<u64, &Value> = trace.on("send", channel).map(|send| (number(send, "op"), send)).collect();
    let takes: Vec<&Value> = trace.on("recv", channel).collect();
    let all = (givers * rounds) as usize;
    assert_eq!((gives.len(), takes.len()), (all, all));
    let mut waited = 0;
    for take in takes {
        let Some(from) = take["from"].as_array() else { continue };
        let give = gives[&number(&from[0], "op")];
        assert_eq!(give["operations"][0]["semaphore"], take["operations"][0]["semaphore"], "{give} {take}");
        // The call that let it go was in progress when the other's was.
        assert!(number(give, "t") - number(give, "took_ns") <= number(take, "t"), "{give} {take}");
        assert!(number(take, "t") - number(take, "took_ns") <= number(give, "t"), "{give} {take}");
        waited += 1;
    }
    println!("{givers} givers, {takers} takers: {waited} of {all} takes were let go by somebody");
    waited
}

#[test]
#[ignore = "root"]
fn many_give_and_many_take() {
    for (givers, takers, rounds) in [(1, 1, 2000), (4, 4, 1000), (16, 16, 200)] {
        assert!(load(givers, takers, rounds) > 0);
    }
}

#[test]
#[ignore = "root"]
fn who_has_memory_attached_is_known() {
    let (trace, truth) = trace_workload(&["memory"]);
    let channel = &truth["channel"];
    let life = life(&trace, channel);
    let parent = &life[0]["pid"];
    assert_eq!((text(life[0], "event"), text(life[0], "key")), ("created", truth["key"].as_str()));
    assert_eq!((&life[0]["capacity"], &life[0]["mode"]), (&Value::from(10_000), &Value::from("640")));
    let of = |who: &str| -> Vec<String> {
        let one = |event: &&&Value| is_of(event, who);
        let place = |event: &&Value| match event["address"].as_str() {
            Some(address) if address == truth["first"] => " 1",
            Some(address) if address == truth["second"] => " 2",
            _ => "",
        };
        life.iter().filter(one).map(|event| format!("{}{}", text(event, "event"), place(event))).collect()
    };
    assert_eq!(
        of(&parent.to_string()),
        ["created", "opened", "attached 1", "attached 2", "removed", "detached 1", "detached 2"]
    );
    // What is inherited is told by address.
    let (mut leaver, mut executor) = (of(&truth["leaver"]), of(&truth["executor"]));
    leaver[..2].sort_unstable();
    assert_eq!(leaver, ["inherited 1", "inherited 2", "detached 2", "detached 1"]);
    executor[..2].sort_unstable();
    executor[2..].sort_unstable();
    assert_eq!(executor, ["inherited 1", "inherited 2", "detached 1", "detached 2"]);
    let exec = trace.one("an exec", |event| event["kind"] == "exec" && is_of(event, &truth["executor"]));
    let after = life.iter().filter(|event| event["event"] == "detached" && event["pid"] == exec["pid"]);
    assert!(after.clone().all(|event| event["syscall"].is_null() && event["t"] == exec["t"]));
    assert_eq!(life.iter().find(|event| event["event"] == "removed").unwrap()["attached"], 2);
    let ends: Vec<&str> =
        life.iter().filter(|event| event["event"] == "attached").map(|event| text(event, "end")).collect();
    assert_eq!(ends, ["rw", "r"]);
    let refused = trace.one("a refusal", |event| event["kind"] == "channel" && event["error"] == "EEXIST");
    assert_eq!(text(refused, "event"), "refused");
}
