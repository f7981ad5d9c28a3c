//! `banger internal net` without the rest of banger: for this crate's own tests and benches.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let (Some(config), Some(token)) = (words.next(), words.next()) else {
        return ExitCode::from(2);
    };
    let vmm_pidfd = words.next().and_then(|fd| fd.parse().ok());
    banger_net::run(&banger_net::StartArgs {
        config: config.into(),
        token,
        vmm_pidfd,
    })
}
