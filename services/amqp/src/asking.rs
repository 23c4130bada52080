//! The probe's conversation: frames of our own, before the driver knows that it is connected.
//!
//! RabbitMQ answers "no" to a question about a permission by closing the channel. The driver logs
//! each of these at `error`, in the server's words. So the driver takes no part in the probe: its
//! `Connection.OpenOk` waits in our stream until the answers are there. Meanwhile the driver has no
//! channels, and every channel of the probe is closed before the driver goes on.

use backing_services_runtime::Failure;
use backing_services_runtime::service::Refusal;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::{ACCESS_REFUSED, NOT_FOUND, PRECONDITION_FAILED, ended, frames};
use crate::frames::{HEADER, LONGEST_SHORT_STRING, Method};
use crate::wire::{CloseReason, Limits, Reason};

/// The number of questions in flight at once. Each has a channel of its own.
const AT_ONCE: u16 = 24;

/// The limit of frames per question. An answer takes three frames; an accepted call brings a few
/// more.
const MOST_FRAMES: usize = 64;

/// The limit of bytes that are kept for the driver: the server's frames for the connection itself.
const MOST_KEPT: usize = 64 * 1024;

const OPEN: Method = (20, 10);
const OPEN_OK: Method = (20, 11);
const CLOSE: Method = (20, 40);
const CLOSE_OK: Method = (20, 41);

/// A call that changes nothing, whatever the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// Deletes a queue, unless it is used or holds a message.
    Delete,
    /// Declares a queue with a time to live that is not a number.
    Declare,
    /// Takes a message out of a queue.
    Get,
    /// Consumes from a queue with a priority that is not a number.
    Consume,
    /// Binds a queue to an exchange that does not exist.
    Bind,
}

/// A call, and its queue.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) call: Call,
    pub(super) queue: String,
}

/// The questions, and the names and limits that they need.
pub(super) struct Asking {
    pub(super) questions: Vec<Question>,
    /// A name that neither a queue nor an exchange has.
    pub(super) nobodys: String,
    /// The number of channels that the connection may have.
    pub(super) channels: u16,
}

/// The stream that the probe has, and the limits for the frames that it reads.
pub(super) struct Conversation<'a, S> {
    pub(super) stream: &'a mut S,
    pub(super) limits: Limits,
    pub(super) secret: Option<&'a [u8]>,
    pub(super) why: &'a CloseReason,
    /// The server's frames for the connection itself: the driver reads them afterwards.
    pub(super) kept: Vec<u8>,
}

/// The state of a question.
#[derive(Clone, Copy)]
enum Progress {
    Asked,
    /// The answer is there, and the channel is being closed.
    Closing(bool),
    Answered(bool),
}

struct Channel {
    is_open: bool,
    progress: Progress,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Conversation<'_, S> {
    /// Asks all questions. Returns for each one whether the account has the permission.
    pub(super) async fn ask(&mut self, asking: &Asking) -> Result<Vec<bool>, Refusal> {
        let mut answers = Vec::with_capacity(asking.questions.len());
        for questions in asking.questions.chunks(usize::from(asking.channels.clamp(1, AT_ONCE))) {
            answers.extend(self.ask_at_once(questions, &asking.nobodys).await?);
        }
        Ok(answers)
    }

    async fn ask_at_once(
        &mut self,
        questions: &[Question],
        nobodys: &str,
    ) -> Result<Vec<bool>, Refusal> {
        let mut channels = Vec::with_capacity(questions.len());
        let mut said = Vec::new();
        for (question, number) in questions.iter().zip(1_u16..) {
            let asked = question.frame(number, nobodys);
            // The protocol cannot encode such a name: no queue has it, so the account has no
            // permission on it.
            let progress =
                if asked.is_some() { Progress::Asked } else { Progress::Answered(false) };
            if let Some(asked) = asked {
                said.extend(frames::method_frame(number, OPEN, &[0]));
                said.extend(asked);
            }
            channels.push(Channel { is_open: asked_nothing(progress), progress });
        }
        self.write(&said).await?;
        for _ in 0..questions.len() * MOST_FRAMES {
            let answers: Option<Vec<bool>> = channels.iter().map(Channel::answer).collect();
            if let Some(answers) = answers {
                return Ok(answers);
            }
            let frame = self.read().await?;
            let Some(number) = frames::channel(&frame) else { return Err(self.foreign()) };
            let at = usize::from(number).checked_sub(1);
            match at.and_then(|at| channels.get_mut(at).zip(questions.get(at))) {
                Some((channel, question)) => {
                    let reply = channel
                        .take(question.call, number, &frame)
                        .ok_or_else(|| self.foreign())??;
                    self.write(&reply).await?;
                }
                None if number == 0 => self.keep(frame)?,
                None => return Err(self.foreign()),
            }
        }
        Err(self.foreign())
    }

    /// Reads a whole frame that passes the checks.
    async fn read(&mut self) -> Result<Vec<u8>, Refusal> {
        let mut frame = vec![0; HEADER];
        self.stream.read_exact(&mut frame).await.map_err(|_| ended(self.why))?;
        let length = frames::length(&frame)
            .filter(|length| *length <= self.limits.frame)
            .ok_or_else(|| self.foreign())?;
        frame.resize(length, 0);
        self.stream.read_exact(&mut frame[HEADER..]).await.map_err(|_| ended(self.why))?;
        if frames::passes(&frame, self.limits.message, self.secret) {
            Ok(frame)
        } else {
            Err(self.foreign())
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.stream.write_all(bytes).await.map_err(|_| ended(self.why))?;
        self.stream.flush().await.map_err(|_| ended(self.why))
    }

    /// Keeps a frame for the connection itself. If it closes the connection, the probe ends too.
    fn keep(&mut self, frame: Vec<u8>) -> Result<(), Refusal> {
        let code = frames::closing(&frame);
        if self.kept.len() + frame.len() > MOST_KEPT {
            return Err(self.foreign());
        }
        self.kept.extend(frame);
        match code {
            Some(code) => {
                self.why.is(Reason::Code(code));
                Err(ended(self.why))
            }
            None => Ok(()),
        }
    }

    fn foreign(&self) -> Refusal {
        self.why.is(Reason::Foreign);
        ended(self.why)
    }
}

const fn asked_nothing(progress: Progress) -> bool {
    matches!(progress, Progress::Answered(_))
}

impl Channel {
    fn answer(&self) -> Option<bool> {
        match self.progress {
            Progress::Answered(may) if self.is_open => Some(may),
            _ => None,
        }
    }

    /// Reads a frame of this channel, and returns the reply to it; `None` if the frame is out of
    /// place.
    fn take(&mut self, call: Call, number: u16, frame: &[u8]) -> Option<Result<Vec<u8>, Refusal>> {
        let Some(method) = frames::method(frame) else {
            // The message that comes with an accepted call.
            return matches!(self.progress, Progress::Closing(_)).then(|| Ok(Vec::new()));
        };
        match (method, self.progress) {
            (OPEN_OK, _) if !self.is_open => {
                self.is_open = true;
                Some(Ok(Vec::new()))
            }
            (CLOSE, Progress::Asked) => {
                let (code, text) = frames::reason(frame)?;
                self.progress = Progress::Answered(match code {
                    NOT_FOUND | PRECONDITION_FAILED => true,
                    // RabbitMQ checks the permission to write to the queue first, and then the
                    // permission to read from the exchange. So a refusal that names the exchange
                    // means that the account may write to the queue.
                    ACCESS_REFUSED => call == Call::Bind && contains(text, b"to exchange"),
                    _ => return Some(Err(Failure::server_error().into())),
                });
                Some(Ok(frames::method_frame(number, CLOSE_OK, &[])))
            }
            (CLOSE, Progress::Closing(may)) => {
                self.progress = Progress::Answered(may);
                Some(Ok(frames::method_frame(number, CLOSE_OK, &[])))
            }
            (CLOSE_OK, Progress::Closing(may)) => {
                self.progress = Progress::Answered(may);
                Some(Ok(Vec::new()))
            }
            (method, Progress::Asked) if call.answers().contains(&method) => {
                self.progress = Progress::Closing(true);
                Some(Ok(frames::method_frame(number, CLOSE, &closing_arguments())))
            }
            (_, Progress::Closing(_)) => Some(Ok(Vec::new())),
            _ => None,
        }
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// The arguments of a regular close: 200, `OK`, and no method that failed.
fn closing_arguments() -> Vec<u8> {
    [&200_u16.to_be_bytes()[..], &[2], b"OK", &[0; 4]].concat()
}

impl Call {
    /// The methods with which a server accepts the call.
    const fn answers(self) -> &'static [Method] {
        match self {
            Self::Delete => &[(50, 41)],
            Self::Declare => &[(50, 11)],
            Self::Get => &[(60, 71), (60, 72)],
            Self::Consume => &[(60, 21)],
            Self::Bind => &[(50, 21)],
        }
    }
}

impl Question {
    /// The call as a frame; `None` if its queue's name is longer than the protocol can encode. Each
    /// call begins with a reserved number.
    fn frame(&self, channel: u16, nobodys: &str) -> Option<Vec<u8>> {
        let queue = short_string(&self.queue)?;
        let (method, rest) = match self.call {
            // `if-unused` and `if-empty`.
            Call::Delete => ((50, 40), vec![0b011]),
            Call::Declare => ((50, 10), [&[0][..], &nonsense("x-message-ttl")?].concat()),
            // With acknowledgements: a message stays in the queue until it is acknowledged.
            Call::Get => ((60, 70), vec![0]),
            Call::Consume => ((60, 20), [&[0, 0][..], &nonsense("x-priority")?].concat()),
            Call::Bind => ((50, 20), [&short_string(nobodys)?[..], &[0, 0], &[0; 4]].concat()),
        };
        Some(frames::method_frame(channel, method, &[&[0, 0][..], &queue, &rest].concat()))
    }
}

fn short_string(text: &str) -> Option<Vec<u8>> {
    let length = u8::try_from(text.len())
        .ok()
        .filter(|length| usize::from(*length) <= LONGEST_SHORT_STRING)?;
    Some([&[length][..], text.as_bytes()].concat())
}

/// A table with an argument that has to be a number, and is a text.
fn nonsense(name: &str) -> Option<Vec<u8>> {
    let entry = [&short_string(name)?[..], b"S", &5_u32.to_be_bytes(), b"probe"].concat();
    Some([&u32::try_from(entry.len()).ok()?.to_be_bytes()[..], &entry].concat())
}

#[cfg(test)]
mod tests {
    use tokio::io::{DuplexStream, duplex};

    use super::*;

    fn question(call: Call, queue: &str) -> Question {
        Question { call, queue: queue.to_owned() }
    }

    /// Asks a server that sends `said`. Returns the answers, what the server received, and the
    /// frames kept for the driver.
    async fn asked(
        questions: Vec<Question>,
        said: &[u8],
    ) -> (Result<Vec<bool>, Refusal>, Vec<u8>, Vec<u8>) {
        let (mut ours, mut theirs): (DuplexStream, DuplexStream) = duplex(1 << 20);
        theirs.write_all(said).await.unwrap();
        let why = CloseReason::default();
        let asking = Asking { questions, nobodys: "probe.1".to_owned(), channels: 2 };
        let limits = Limits { frame: 4096, message: 1024 };
        let mut conversation = Conversation {
            stream: &mut ours,
            limits,
            secret: Some(b"secret"),
            why: &why,
            kept: Vec::new(),
        };
        let mut heard = Vec::new();
        let answers =
            tokio::time::timeout(std::time::Duration::from_millis(500), conversation.ask(&asking))
                .await;
        let kept = conversation.kept;
        drop(ours);
        theirs.read_to_end(&mut heard).await.unwrap();
        (answers.unwrap_or_else(|_| Ok(Vec::new())), heard, kept)
    }

    fn open_ok(channel: u16) -> Vec<u8> {
        frames::method_frame(channel, OPEN_OK, &[0; 4])
    }

    fn closed(channel: u16, code: u16, text: &str) -> Vec<u8> {
        let length = u8::try_from(text.len()).unwrap();
        let reason = [&code.to_be_bytes()[..], &[length], text.as_bytes(), &[0; 4]].concat();
        frames::method_frame(channel, CLOSE, &reason)
    }

    #[tokio::test]
    async fn every_answer_is_read_and_every_channel_closed() {
        let got = frames::method_frame(1, (60, 71), &[0; 15]);
        let heartbeat = [8, 0, 0, 0, 0, 0, 0, 0xCE];
        for (call, said, may) in [
            (Call::Delete, [open_ok(1), closed(1, 404, "NOT_FOUND")].concat(), true),
            (
                Call::Declare,
                [open_ok(1), heartbeat.to_vec(), closed(1, 406, "PRECONDITION_FAILED")].concat(),
                true,
            ),
            (Call::Consume, [open_ok(1), closed(1, 403, "access to exchange")].concat(), false),
            (Call::Bind, [open_ok(1), closed(1, 403, "access to queue")].concat(), false),
            (Call::Bind, [open_ok(1), closed(1, 403, "access to exchange")].concat(), true),
            (
                Call::Get,
                [open_ok(1), got.clone(), frames::method_frame(1, CLOSE_OK, &[])].concat(),
                true,
            ),
        ] {
            let (answers, heard, kept) = asked(vec![question(call, "q")], &said).await;
            assert_eq!(answers.unwrap(), [may], "{call:?}");
            let end = if call == Call::Get { CLOSE } else { CLOSE_OK };
            let end = frames::method_frame(
                1,
                end,
                if end == CLOSE { closing_arguments() } else { Vec::new() }.as_slice(),
            );
            assert!(heard.ends_with(&end), "{call:?}: {heard:?}");
            assert_eq!(
                kept.is_empty(),
                call != Call::Declare,
                "frames for the connection itself are kept for the driver"
            );
        }
    }

    #[tokio::test]
    async fn more_questions_than_channels_are_asked_one_after_the_other() {
        let no = |channel| [open_ok(channel), closed(channel, 403, "no")].concat();
        let said = [no(2), no(1), open_ok(1), closed(1, 404, "yes")].concat();
        let questions =
            [Call::Delete, Call::Get, Call::Declare].map(|call| question(call, "q")).to_vec();
        assert_eq!(asked(questions, &said).await.0.unwrap(), [false, false, true]);
        // A name that does not fit in a frame is not asked about.
        let questions =
            vec![question(Call::Declare, &"q".repeat(256)), question(Call::Declare, "q")];
        let (answers, heard, _) = asked(questions, &no(2)).await;
        assert_eq!(answers.unwrap(), [false, false]);
        assert!(heard.len() < 300);
    }

    /// The server may still send, and may close the channel itself, before it reads our close.
    #[tokio::test]
    async fn frames_of_a_channel_that_is_being_closed_are_ignored() {
        let got = frames::method_frame(1, (60, 71), &[0; 15]);
        let delivered = frames::method_frame(1, (60, 60), &[0; 15]);
        let close_ok = frames::method_frame(1, CLOSE_OK, &[]);
        for (last, reply) in [
            (&close_ok, frames::method_frame(1, CLOSE, b"\0\xc8\x02OK\0\0\0\0")),
            (&closed(1, 404, "gone"), close_ok.clone()),
        ] {
            let said = [&open_ok(1), &got, &delivered, last].map(|frame| &frame[..]).concat();
            let (answers, heard, _) = asked(vec![question(Call::Get, "q")], &said).await;
            assert_eq!(answers.unwrap(), [true]);
            assert!(heard.ends_with(&reply), "{heard:?}");
        }
    }

    #[tokio::test]
    async fn the_number_and_the_size_of_the_frames_between_are_limited() {
        let frame = |size: usize| {
            let length = u32::try_from(size - HEADER - 1).unwrap().to_be_bytes();
            [&[8, 0, 0][..], &length, &vec![0; size - HEADER - 1], &[0xCE]].concat()
        };
        let two = || vec![question(Call::Get, "q"), question(Call::Delete, "q")];
        for (between, is_answered) in [
            (frame(8).repeat(123), true),
            (frame(8).repeat(124), false),
            (frame(4096).repeat(16), true),
            ([frame(4096).repeat(16), frame(8)].concat(), false),
            (frame(4097), false),
        ] {
            let said =
                [open_ok(1), open_ok(2), between.clone(), closed(1, 404, ""), closed(2, 404, "")];
            let (answers, _, kept) = asked(two(), &said.concat()).await;
            let case = (between.len(), is_answered);
            assert_eq!(answers.ok(), is_answered.then(|| vec![true, true]), "{case:?}");
            assert!(!is_answered || kept == between, "{case:?}");
        }
    }

    #[test]
    fn a_question_asks_for_nothing_that_the_server_would_do() {
        let arguments = |call| question(call, "q").frame(1, "n").unwrap()[11..].to_vec();
        let queue = b"\0\0\x01q".to_vec();
        let ending = |call| {
            let arguments = arguments(call);
            assert!(arguments.starts_with(&queue), "{call:?}");
            arguments[queue.len()..].split_last().unwrap().1.to_vec()
        };
        assert_eq!(ending(Call::Delete), [0b011]);
        assert_eq!(ending(Call::Declare), b"\0\0\0\0\x18\x0dx-message-ttlS\0\0\0\x05probe");
        assert_eq!(ending(Call::Get), [0]);
        assert_eq!(ending(Call::Consume), b"\0\0\0\0\0\x15\x0ax-priorityS\0\0\0\x05probe");
        assert_eq!(ending(Call::Bind), b"\x01n\0\0\0\0\0\0");
    }

    #[tokio::test]
    async fn frames_that_are_out_of_place_are_refused() {
        for said in [
            closed(2, 403, "another channel"),
            frames::method_frame(1, CLOSE_OK, &[]),
            [open_ok(1), open_ok(1)].concat(),
            frames::method_frame(1, (50, 11), &[]),
            closed(1, 506, "another code"),
            closed(1, 403, "our secret"),
            frames::method_frame(0, (10, 50), &[1, 0x40, 0, 0, 0, 0, 0]),
            vec![2, 0, 1, 0, 0, 0, 0, 0xCE],
            [8, 0, 0, 0, 0, 0, 0, 0xCE].repeat(100),
        ] {
            let (answers, _, _) = asked(vec![question(Call::Get, "q")], &said).await;
            assert!(answers.is_err(), "{said:?}");
        }
        // A channel that was never opened has not answered.
        assert_eq!(
            asked(vec![question(Call::Get, "q")], &closed(1, 404, "")).await.0.unwrap(),
            [false; 0]
        );
    }
}
