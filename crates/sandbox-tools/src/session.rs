//! Makes the terminal on standard input the controlling one, then becomes the program.

use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Arguments: file, name, and the program's arguments. Returns only if it fails.
pub(crate) fn main() -> i32 {
    let error = run();
    // The terminal is standard error as well: the only one who can be told is whoever looks at it.
    drop(io::Write::write_all(
        &mut io::stderr(),
        format!("{error}\r\n").as_bytes(),
    ));
    126
}

fn run() -> io::Error {
    let terminal = || {
        rustix::process::setsid()?;
        rustix::process::ioctl_tiocsctty(io::stdin().as_fd())
    };
    if let Err(error) = terminal() {
        return error.into();
    }
    let mut arguments = std::env::args_os().skip(2);
    let (Some(file), Some(name)) = (arguments.next(), arguments.next()) else {
        return io::ErrorKind::InvalidInput.into();
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "this process becomes the program that was asked for"
    )]
    let mut command = Command::new(file);
    command.arg0(name).args(arguments).exec()
}
