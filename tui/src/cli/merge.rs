//! `merge`: recordings of several hosts on one time line.

use std::{
    io::{self, BufWriter, Write},
    path::Path,
};

use anyhow::bail;

use super::{args::MergeArgs, setup};
use crate::{
    source::merge::{Merge, is_same_file},
    sys::outcome::Outcome,
};

/// Merges, and says how sure each clock is.
pub fn run(args: &MergeArgs) -> anyhow::Result<Outcome> {
    for file in &args.files {
        if file == Path::new("-") {
            bail!("failed to merge: each recording is read twice, so standard input cannot be one");
        }
        if is_same_file(file, &args.output) {
            bail!("failed to merge into {}: it is one of the recordings", args.output.display());
        }
    }
    // All that can be refused is refused before anything is overwritten.
    let merge = Merge::prepare(&args.files)?;
    let (out, to): (Box<dyn Write>, _) = if args.output == Path::new("-") {
        (Box::new(io::stdout().lock()), "standard output".to_owned())
    } else {
        (Box::new(setup::sink(&args.output)?), args.output.display().to_string())
    };
    let (mut out, records) = merge.write(BufWriter::with_capacity(1 << 20, out))?;
    out.flush()?;
    for line in merge.summary() {
        eprintln!("ipcscope: {line}");
    }
    eprintln!("ipcscope: {records} records of {} recordings are in {to}", args.files.len());
    Ok(Outcome::Code(0))
}
