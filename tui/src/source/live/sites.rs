//! Where functions of the running kernel are: `/proc/kallsyms`, for hooks that are told which function called.
//!
//! Where the addresses are hidden, or a function is not there under its name, the length is 0 and nothing matches.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{BufRead as _, BufReader},
};

use ipcscope_common::settings::Sites;

/// Places of the functions that make and free messages, queues, and buffers of sockets.
pub fn sites() -> Sites {
    File::open("/proc/kallsyms")
        .map_or(Sites::NONE, |file| read(BufReader::with_capacity(1 << 20, file).split(b'\n').map_while(Result::ok)))
}

/// Reads lines of `ADDRESS TYPE NAME`, in no order. A function ends where the next symbol begins.
fn read(lines: impl Iterator<Item = Vec<u8>>) -> Sites {
    let mut addresses = BTreeSet::new();
    let mut sites = Sites::NONE;
    for line in lines {
        let mut words = line.split(|byte| *byte == b' ' || *byte == b'\t');
        let address = words.next().and_then(|word| std::str::from_utf8(word).ok());
        let Some(address) = address.and_then(|word| u64::from_str_radix(word, 16).ok()).filter(|a| *a != 0) else {
            continue;
        };
        addresses.insert(address);
        match words.nth(1) {
            Some(b"load_msg") => sites.load_msg = address,
            Some(b"free_msg") => sites.free_msg = address,
            Some(b"newque") => sites.newque = address,
            Some(b"__alloc_skb") => sites.alloc_skb = address,
            Some(b"skb_clone") => sites.clone_skb = address,
            Some(b"mqueue_alloc_inode") => sites.mqueue_alloc_inode = address,
            _ => {}
        }
    }
    let length = |start: u64| {
        let next = (start != 0).then(|| addresses.range(start + 1..).next()).flatten();
        next.map_or(0, |next| next - start)
    };
    sites.load_msg_len = length(sites.load_msg);
    sites.free_msg_len = length(sites.free_msg);
    sites.newque_len = length(sites.newque);
    sites.alloc_skb_len = length(sites.alloc_skb);
    sites.clone_skb_len = length(sites.clone_skb);
    sites.mqueue_alloc_inode_len = length(sites.mqueue_alloc_inode);
    sites
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Sites {
        read(text.lines().map(|line| line.as_bytes().to_vec()))
    }

    #[test]
    fn a_function_ends_where_the_next_begins() {
        let sites = of(
            "ffffffff81000100 T load_msg\nffffffff81000300 t free_msg\nffffffff81000180 T copy_msg\nffffffff81000340 T x",
        );
        assert_eq!((sites.load_msg, sites.load_msg_len), (0xffff_ffff_8100_0100, 0x80));
        assert_eq!((sites.free_msg_len, sites.newque_len), (0x40, 0));
    }

    #[test]
    fn hidden_addresses_are_none() {
        assert_eq!(of("0000000000000000 T load_msg\n0000000000000000 T free_msg"), Sites::NONE);
    }
}
