//! soon
pub(crate) fn run(
    _: &crate::checkout::Checkout,
    _: &[String],
) -> anyhow::Result<std::process::ExitCode> {
    anyhow::bail!("soon")
}
