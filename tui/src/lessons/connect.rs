//! `ls | wc`, as a shell does it: pipe(2), two times fork(2), dup2(2), exec(3).

use std::os::fd::AsRawFd as _;

use anyhow::Context as _;
use nix::unistd::{close, dup2_stdin, dup2_stdout, execvp, pipe};

use super::stage::Stage;

pub(super) fn run(stage: &Stage) -> anyhow::Result<()> {
    let (read_end, write_end) = pipe().context("pipe")?;
    let (r, w) = (read_end.as_raw_fd(), write_end.as_raw_fd());
    stage.say(format!("1. connect: pipe(): what is written to fd {w} can be read from fd {r}"));
    stage.pause(2);

    stage.say("2. connect: fork(), twice: both children inherit both ends");
    stage.start("connect", || {
        stage.pause(1);
        dup2_stdin(&read_end).context("dup2")?;
        close(r)?;
        // Else wc would wait for itself: a reader sees end-of-file once the last write end is closed.
        close(w)?;
        stage.say("3. 1st child: dup2(), the read end is standard input; exec(\"wc\")");
        execvp(c"wc", &[c"wc"]).context("wc")?;
        Ok(())
    })?;
    stage.start("connect", || {
        stage.pause(3);
        dup2_stdout(&write_end).context("dup2")?;
        close(r)?;
        close(w)?;
        // Not to standard output: that is the pipe now.
        eprintln!("4. 2nd child: dup2(), the write end is standard output; exec(\"ls\")");
        execvp(c"ls", &[c"ls"]).context("ls")?;
        Ok(())
    })?;
    close(read_end)?;

    stage.wait_for(1)?;
    stage.say("5. ls has ended, but wc waits on: connect itself has a write end");
    stage.pause(3);
    stage.say("6. connect: close() of the last write end: wc gets end-of-file");
    close(write_end)?;
    stage.wait_for(1)?;
    stage.say("7. over");
    Ok(())
}
