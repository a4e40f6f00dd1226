//! An engine as a child process, asked over its standard input and answering on its standard output.

use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::wire::{Answer, Greeting, Request};

/// A running engine; dropping it ends the process. What it writes to standard error goes to ours.
#[derive(Debug)]
pub struct Engine {
    name: String,
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    line: String,
}

/// Why an engine cannot be asked.
#[derive(Debug)]
pub enum EngineError {
    /// It is not on this machine.
    Absent {
        /// What is missing, and how it would come.
        what: String,
    },
    /// The process could not be started or spoken with.
    Process(std::io::Error),
    /// It ended: its rules do not load, or a request broke it. Its standard error says which.
    Ended,
    /// It said something that is not of the protocol.
    Protocol(String),
}

impl Engine {
    /// Starts `program` with `arguments` and waits until its rules are loaded.
    pub fn start(program: &Path, arguments: &[&Path]) -> Result<Self, EngineError> {
        let mut process = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(EngineError::Process)?;
        let (Some(input), Some(output)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(EngineError::Ended);
        };
        let output = BufReader::new(output);
        let mut engine = Self { name: String::new(), process, input, output, line: String::new() };
        let greeting: Greeting = engine.read()?;
        engine.name = greeting.engine;
        Ok(engine)
    }

    /// Name and version, in its own words.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Has `requests` judged in a row; gives one answer for each, in order.
    pub fn judge(&mut self, requests: &[Request]) -> Result<Vec<Answer>, EngineError> {
        let mut line =
            serde_json::to_vec(requests).map_err(|error| EngineError::Protocol(error.to_string()))?;
        line.push(b'\n');
        self.input.write_all(&line).and_then(|()| self.input.flush()).map_err(EngineError::Process)?;
        let answers: Vec<Answer> = self.read()?;
        if answers.len() == requests.len() {
            Ok(answers)
        } else {
            Err(EngineError::Protocol(format!("{} answers to {} requests", answers.len(), requests.len())))
        }
    }

    fn read<T: serde::de::DeserializeOwned>(&mut self) -> Result<T, EngineError> {
        self.line.clear();
        if self.output.read_line(&mut self.line).map_err(EngineError::Process)? == 0 {
            return Err(EngineError::Ended);
        }
        serde_json::from_str(&self.line).map_err(|error| EngineError::Protocol(error.to_string()))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Neither can fail in a way that leaves something to do: a process that is gone is what is wanted.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent { what } => write!(f, "not on this machine: {what}"),
            Self::Process(error) => write!(f, "the engine's process: {error}"),
            Self::Ended => f.write_str("the engine ended; its standard error says why"),
            Self::Protocol(what) => write!(f, "the engine answered out of protocol: {what}"),
        }
    }
}

impl std::error::Error for EngineError {}
