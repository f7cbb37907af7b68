//! One command by Run Command: sent, waited for, and its output fetched.

use std::error::Error;
use std::time::Duration;

use aws_sdk_ssm::config::retry::RetryConfig;
use aws_sdk_ssm::error::SdkError;
use aws_sdk_ssm::operation::send_command::SendCommandError;
use aws_sdk_ssm::types::CommandInvocationStatus;
use dayfly_shared::backoff::Backoff;

use super::answer::Answer;
use crate::cli::ExecArgs;
use crate::cloud::{Cloud, code, explain, is_passing, may_have_gone_through};
use crate::failure::{Failure, Result};
use crate::human;
use crate::parts::Parts;

/// The document that runs lines in a shell (Systems Manager user guide, "AWS-RunShellScript").
const DOCUMENT: &str = "AWS-RunShellScript";
/// The first wait; an instance that is there answers a small command within a second.
const FIRST_WAIT: Duration = Duration::from_millis(300);
/// The longest: a person waits, and the account's calls are few.
const LONGEST_WAIT: Duration = Duration::from_secs(8);
/// How long a service that cannot be reached, or throttles, is tried for: an instance may be on its way, a service is there.
const SILENCE: Duration = Duration::from_secs(15);
/// How long a command may lie before the instance takes it up, in seconds: the least that the API takes (SendCommand,
/// `TimeoutSeconds`), as the instance was online when it was sent.
const DELIVERY_SECONDS: i32 = 30;
/// How much longer than the command itself its end may take to be told.
const TELLING: Duration = Duration::from_secs(60);

/// A line for the shell: one word as it stands, several as a program and its arguments.
pub fn line(words: &[String]) -> String {
    match words {
        [one] => one.clone(),
        words => words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "),
    }
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Runs the command and waits for its end.
///
/// # Errors
/// An instance that does not register in time; what Systems Manager does not allow.
pub async fn run(parts: &Parts, cloud: &Cloud, args: &ExecArgs) -> Result<Answer> {
    let id = send(parts, cloud, args).await?;
    let ssm = cloud.ssm();
    let begun = parts.clock.now().at;
    let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
    loop {
        match ssm.get_command_invocation().command_id(&id).instance_id(&args.instance).send().await {
            Ok(found) if is_over(found.status()) => return Ok(Answer::new(&args.instance, &id, &found)),
            Ok(_) => {}
            // Just after the sending the invocation may not be known yet.
            Err(error) if code(&error) == Some("InvocationDoesNotExist") || is_passing(&error) => {}
            Err(error) => {
                return Err(explain("ssm:GetCommandInvocation", &id, &error).left("the command may be running"));
            }
        }
        if parts.clock.now().at.since(begun) > args.time_limit + TELLING {
            let (instance, limit) = (&args.instance, human::duration(args.time_limit));
            return Err(Failure::new(format!("the command {id} on {instance} did not end within {limit}"))
                .left("it may be running")
                .fix(format!("look: aws ssm get-command-invocation --command-id {id} --instance-id {instance}")));
        }
        parts.clock.sleep(backoff.next(&*parts.dice)).await;
    }
}

/// Sends the command as soon as the instance is known to Systems Manager.
async fn send(parts: &Parts, cloud: &Cloud, args: &ExecArgs) -> Result<String> {
    let ssm = cloud.ssm();
    let begun = parts.clock.now().at;
    let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
    let mut said = false;
    loop {
        // One try a call: Run Command knows no client token, and a command that is sent twice runs twice.
        let once = aws_sdk_ssm::config::Builder::new().retry_config(RetryConfig::disabled());
        let sent = ssm
            .send_command()
            .document_name(DOCUMENT)
            .instance_ids(&args.instance)
            .parameters("commands", vec![line(&args.command)])
            .parameters("executionTimeout", vec![args.time_limit.as_secs().max(1).to_string()])
            .timeout_seconds(DELIVERY_SECONDS)
            .comment("dayfly exec")
            .customize()
            .config_override(once)
            .send()
            .await;
        let error = match sent {
            Ok(sent) => return Ok(sent.command().and_then(|c| c.command_id()).unwrap_or_default().to_owned()),
            Err(error) => error,
        };
        let unknown = code(&error) == Some("InvalidInstanceId");
        if was_sent(&error) {
            let failure = explain("ssm:SendCommand", &args.instance, &error).left("the command may be running");
            return Err(failure.fix("look what runs (aws ssm list-commands) before you run it again"));
        }
        if !unknown && !is_passing(&error) {
            return Err(explain("ssm:SendCommand", &args.instance, &error));
        }
        let wait = if unknown { args.wait } else { args.wait.min(SILENCE) };
        if parts.clock.now().at.since(begun) >= wait {
            let failure = explain("ssm:SendCommand", &args.instance, &error).left("nothing was run");
            if !unknown {
                return Err(failure);
            }
            return Err(failure.fix(format!(
                "{} is not known to Systems Manager after {}: it may have ended (dayfly ps), be of a deployment set up \
                 without --ssm, run an image without the SSM agent, or have no way to the service",
                args.instance,
                human::duration(args.wait)
            )));
        }
        if unknown && !said {
            said = true;
            parts.output().note(format!("waiting for {} to register with Systems Manager", args.instance));
        }
        parts.clock.sleep(backoff.next(&*parts.dice)).await;
    }
}

/// Whether a command that was not answered may have got there all the same: anything but a connection that never was, and
/// refusals.
fn was_sent(error: &SdkError<SendCommandError>) -> bool {
    match error {
        SdkError::DispatchFailure(failure) => {
            may_have_gone_through(error) && failure.as_connector_error().is_none_or(|e| !is_connect(e))
        }
        _ => may_have_gone_through(error),
    }
}

/// Whether the connection itself was refused or not made, as the HTTP client says it.
fn is_connect(error: &dyn Error) -> bool {
    let mut cause = Some(error);
    while let Some(at) = cause {
        if at.to_string().contains("(Connect)") {
            return true;
        }
        cause = at.source();
    }
    false
}

fn is_over(status: Option<&CommandInvocationStatus>) -> bool {
    use CommandInvocationStatus::{Cancelled, Failed, Success, TimedOut};
    matches!(status, Some(Success | Failed | Cancelled | TimedOut))
}

#[cfg(test)]
mod tests {
    #[test]
    fn words_reach_the_program_as_they_were_given() {
        let line = |words: &[&str]| super::line(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>());
        assert_eq!(line(&["df -h | tail"]), "df -h | tail");
        assert_eq!(line(&["ls", "-l", "/a b", "it's", ""]), r"ls -l '/a b' 'it'\''s' ''");
        assert_eq!(line(&["echo", "$HOME"]), "echo '$HOME'");
    }
}
