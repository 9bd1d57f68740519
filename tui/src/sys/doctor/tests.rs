//! Judgements on machines that we do not have.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

use super::*;

fn good() -> Facts {
    Facts {
        release: "6.12.8-amd64".into(),
        arch: "x86_64".into(),
        btf: Ok(6 << 20),
        capabilities: 0x1ff_ffff_ffff,
        root: true,
        sudo: true,
        initial_users: true,
        initial_pids: Some(true),
        lockdown: Some("none".into()),
    }
}

/// The checks that are not well.
fn complaints(change: impl FnOnce(&mut Facts)) -> Vec<(&'static str, State)> {
    let mut facts = good();
    change(&mut facts);
    let report = Report::judge(&facts);
    let bad: Vec<_> = report.checks.iter().filter(|check| check.state != State::Ok).collect();
    assert!(bad.iter().all(|check| check.remedy.is_some()), "every complaint has its remedy");
    bad.iter().map(|check| (check.name, check.state)).collect()
}

#[test]
fn a_good_machine_has_no_complaints() {
    assert_eq!(complaints(|_| {}), []);
    assert_eq!(Report::judge(&good()).exit_status(), 0);
    for release in ["5.15.0-204-generic", "5.19.17", "7.3", "6.1.0-rc1"] {
        assert_eq!(complaints(|facts| facts.release = release.into()), [], "{release}");
    }
    assert_eq!(complaints(|facts| facts.lockdown = Some("integrity".into())), []);
    let two = 1 << CAP_BPF | 1 << CAP_PERFMON;
    assert_eq!(complaints(|facts| (facts.root, facts.capabilities) = (false, two)), []);
}

#[test]
fn what_is_in_the_way_is_named() {
    use State::{Fail, Warn};
    assert_eq!(complaints(|facts| facts.release = "5.10.0-30-amd64".into()), [("kernel", Fail)]);
    assert_eq!(complaints(|facts| facts.release = "6".into()), [("kernel", Warn)]);
    assert_eq!(complaints(|facts| facts.arch = "aarch64".into()), [("architecture", Fail)]);
    assert_eq!(complaints(|facts| facts.btf = Err("No such file".into())), [("btf", Fail)]);
    assert_eq!(complaints(|facts| facts.capabilities = 1 << CAP_BPF), [("privileges", Fail)]);
    assert_eq!(complaints(|facts| facts.initial_users = false), [("privileges", Fail)]);
    assert_eq!(complaints(|facts| facts.lockdown = Some("confidentiality".into())), [("lockdown", Fail)]);
    assert_eq!(complaints(|facts| facts.initial_pids = Some(false)), [("pid-namespace", Warn)]);
    assert_eq!(complaints(|facts| facts.initial_pids = None), [("pid-namespace", Fail)]);
}

#[test]
fn the_remedy_is_what_this_user_can_do() {
    for (root, sudo, remedy) in [(false, true, "sudo ipcscope"), (false, false, "su -"), (true, true, "--privileged")] {
        let report = Report::judge(&Facts { root, sudo, capabilities: 0, ..good() });
        assert_eq!(report.exit_status(), 4);
        assert!(report.to_string().contains(remedy), "{report}");
    }
}

#[test]
fn text_and_json_say_the_same() {
    let mut report = Report::judge(&Facts { release: "5.4.0".into(), ..good() });
    report.checks.truncate(2);
    report.checks.push(Check::ok("programs", "12 of 12 load"));
    assert_eq!(
        report.to_string(),
        "ok    architecture   x86_64\n\
         FAIL  kernel         5.4.0 is older than 5.15\n\
         \x20                    → boot a newer kernel (on Debian: `sudo apt install linux-image-amd64`, then reboot)\n\
         ok    programs       12 of 12 load\n\n\
         ipcscope cannot trace here yet; `ipcscope replay FILE` and `ipcscope print FILE` work anyway.\n"
    );
    let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
    assert_eq!(json["can_trace"], false);
    assert_eq!(json["checks"][1]["state"], "fail");
    assert_eq!(json["checks"][0].get("remedy"), None);
}
