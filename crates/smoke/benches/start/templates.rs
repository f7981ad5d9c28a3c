//! Starts from a template beside boots, in turns.

use std::io;
use std::time::Duration;

use banger_measure::{Samples, row};
use banger_smoke::{Sandbox, eventually};

/// Allowed time of a whole `vm run` from a template.
const WAKE: Duration = Duration::from_millis(750);
/// A template is made some seconds after a boot.
const MADE_WITHIN: Duration = Duration::from_secs(120);

/// Lines of the report, and the stages of one start from a template.
pub fn measure(runs: usize, small: &[&str]) -> io::Result<(Vec<String>, String)> {
    let sandbox = Sandbox::new();
    let config = "[templates]\nenabled = true\n";
    std::fs::write(sandbox.banger_home().join("config.toml"), config)?;
    let run = |more: &[&str]| {
        let words = [&["vm", "run", "--rm"], small, more, &["--", "true"]].concat();
        sandbox.banger(&words).ok()
    };
    run(&[]);
    eventually("a template is made", MADE_WITHIN, || {
        let listed = sandbox.out(&["template", "list", "-q"]);
        (!listed.is_empty()).then_some(())
    });
    let (mut wake, mut boot) = (Samples::default(), Samples::default());
    for _ in 0..runs {
        wake.push(run(&[]).took);
        boot.push(run(&["--no-template"]).took);
    }
    let share = wake.median().as_secs_f64() / boot.median().as_secs_f64() * 100.0;
    let report = vec![
        wake.line("vm run --rm -- true, from a template", Some(WAKE)),
        boot.line("the same, booted, in turns", None),
        row(
            "saved by a template",
            boot.median().saturating_sub(wake.median()),
            "",
            None,
        ),
        format!("{:<36} {share:>8.0} %", "share of a boot"),
    ];
    let stages = run(&["--timings"]).err();
    Ok((report, stages))
}
