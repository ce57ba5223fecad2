//! Any command on many hosts: each line that it prints, behind the name of its host.

use super::Request;
use super::answer;
use super::locate;
use crate::manage::error::{CommandError, CommandResult};
use crate::manage::hosts::Host;
use crate::manage::hosts::lines::{self, Line, Lines};
use crate::manage::hosts::run::{self, Allowance, Job, Said};
use crate::manage::output;
use crate::manage::registry::pattern::Patterns;

/// Runs the command. Of several hosts, those that have none of the instances are left out.
///
/// # Errors
/// A pattern that matches no instance.
pub(super) fn run(request: &Request) -> CommandResult {
    let has_patterns = matches!(request.matches.try_contains_id("pattern"), Ok(true));
    let (jobs, failed) = if has_patterns && request.hosts.len() > 1 {
        let located = locate::locate(request, &Patterns::from_matches(request.matches)?)?;
        (located.jobs(request), located.failed)
    } else {
        (request.jobs(&request.arguments), Vec::new())
    };
    for (host, problem) in &failed {
        output::print_error(&format!("{host}: {problem}"));
    }
    let code = if request.json {
        let answers = answer::ask(&jobs, None);
        answer::print_json(&answers)?;
        answer::worst(&answers)
    } else {
        print_lines(&jobs, |host, line| {
            let line = String::from_utf8_lossy(&line).into_owned();
            output::print(&lines::shown(format!("{host}: {line}").as_bytes()))
        })?
    };
    Ok(code.max(u8::from(!failed.is_empty())))
}

/// Runs the jobs, and prints their lines as they come. Returns the largest exit status.
///
/// # Errors
/// Those of standard output.
pub(super) fn print_lines(
    jobs: &[Job],
    print: impl Fn(&Host, Vec<u8>) -> Result<(), CommandError>,
) -> CommandResult {
    let mut code = 0;
    let mut pending: Vec<(Lines, String)> = jobs.iter().map(|_| Default::default()).collect();
    for (number, said) in run::start(jobs, Allowance::default()) {
        let Some((job, (lines, last))) = jobs.get(number).zip(pending.get_mut(number)) else {
            continue;
        };
        let host = &job.host;
        let print_line = |line: Line| match line {
            Ok(line) => print(host, line),
            Err(bytes) => {
                output::print_error(&format!("{host}: a line of {bytes} bytes is left out"));
                Ok(())
            }
        };
        match said {
            Said::Output(bytes) => lines.push(&bytes).into_iter().try_for_each(print_line)?,
            Said::Complaint(text) => {
                output::print_error(&format!("{host}: {text}"));
                *last = text;
            }
            Said::End(end) => {
                lines.rest().into_iter().try_for_each(print_line)?;
                code = code.max(*end.as_ref().unwrap_or(&1));
                if let Err(problem) = end
                    && problem != *last
                {
                    output::print_error(&format!("{host}: {problem}"));
                }
            }
        }
        if !output::is_read() {
            break;
        }
    }
    Ok(code)
}
