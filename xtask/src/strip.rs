//! Takes the debug information out of the eBPF object, and leaves .BTF and .BTF.ext.
//!
//! The compiler needs debug information to make the BTF; nobody needs it afterwards, and it is ten times as long.
//! Done here and not by llvm-objcopy so that the bytes depend on our lock file alone, not on whose LLVM is installed.

use anyhow::{Context as _, Result};
use object::build::ByteString;
use object::build::elf::{Builder, SectionData};
use object::elf::SHT_STRTAB;

/// The object without its `.debug_*` sections, their relocations and their symbols.
pub(crate) fn without_debug(object: &[u8]) -> Result<Vec<u8>> {
    let mut elf = Builder::read(object).context("read the eBPF object")?;
    let is_debug = |name: &ByteString<'_>| {
        let name = name.as_slice();
        name.starts_with(b".debug_") || name.starts_with(b".rel.debug_")
    };
    for section in &mut elf.sections {
        section.delete = is_debug(&section.name);
    }
    // LLVM keeps the names of sections and symbols in one section; the writer wants two.
    if !elf.sections.iter().any(|section| matches!(section.data, SectionData::SectionString)) {
        let names = elf.sections.add();
        names.name = ByteString::from(".shstrtab");
        names.sh_type = SHT_STRTAB;
        names.sh_addralign = 1;
        names.data = SectionData::SectionString;
    }
    let mut stripped = Vec::new();
    elf.write(&mut stripped).context("write the eBPF object")?;
    Ok(stripped)
}
