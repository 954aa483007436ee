//! Where ours differs from the recorded conversations on purpose: what it does instead, and why.

/// One case, and what is different in it.
pub(super) struct Difference {
    pub(super) case: &'static str,
    /// The reason; DESIGN §2 has the list.
    pub(super) why: &'static str,
    pub(super) ours: &'static [Change],
}

/// What changes in a conversation. The first part names the client.
pub(super) enum Change {
    /// Ours answers this request with this body, whatever the original did.
    Answers(&'static str, u64, &'static str),
    /// Ours pushes this as well.
    Pushes(&'static str, &'static str, &'static str),
    /// The original pushes this; ours does not.
    PushesNot(&'static str, &'static str, &'static str),
    /// Ours sends the first heartbeat: it has seen the ack.
    Beats(&'static str),
    /// The original closes the connection; ours stays.
    Stays(&'static str),
    /// This request may be answered or not.
    MayAnswer(&'static str, u64),
    /// Plain HTTP: what is answered begins like this.
    AnswersText(&'static str),
}

use Change::{Answers, AnswersText, Beats, MayAnswer, Pushes, PushesNot, Stays};

const ROUTE: &str = r#"{"code":500}"#;

pub(super) const DIFFERENCES: &[Difference] = &[
    Difference {
        case: "full chat session of two users",
        why: "who joins is told of itself by an accident of the original's first push (its meaning says so)",
        ours: &[PushesNot("b", "onAdd", r#"{"route":"onAdd","user":"bob"}"#)],
    },
    Difference {
        case: "request with a route of the wrong shape",
        why: "a request is always answered",
        ours: &[
            Answers("alice", 2, ROUTE),
            Answers("alice", 3, ROUTE),
            Answers("alice", 6, ROUTE),
        ],
    },
    Difference {
        case: "enter twice on one connection",
        why: "entering a second room leaves no ghost in the first: the user moves, and is heard in the new one",
        ours: &[
            Pushes(
                "a",
                "onChat",
                r#"{"msg":"where am I","from":"alice","target":"*"}"#,
            ),
            Answers("b", 1, r#"{"users":["bob"]}"#),
            Answers("c", 1, r#"{"users":["carol"]}"#),
        ],
    },
    Difference {
        case: "enter with odd bodies",
        why: "a request is always answered: without a name and a room there is nothing to enter, and nothing is bound",
        ours: &[Answers("a", 1, r#"{"code":500,"error":true}"#)],
    },
    Difference {
        case: "send to a user who is not there",
        why: "a private message to somebody who is not there gets an answer that says so",
        ours: &[
            Answers("a", 2, r#"{"code":404,"message":"nobody is not in this room"}"#),
            Answers(
                "a",
                3,
                r#"{"code":400,"message":"send needs a target: a name, or * for all"}"#,
            ),
        ],
    },
    Difference {
        case: "bodies: not JSON, array, null, string, empty",
        why: "a handler that does not expect its arguments never wedges the connection: the rest is answered, too",
        ours: &[
            Answers("a", 2, r#"{"echo":1}"#),
            Answers("a", 3, r#"{"echo":{"__route__":"connector.labHandler.echo"}}"#),
            Answers("a", 4, r#"{"echo":"text"}"#),
            Answers("a", 5, r#"{"echo":5}"#),
            Answers("a", 6, r#"{"echo":{"__route__":"connector.labHandler.echo"}}"#),
        ],
    },
    Difference {
        case: "request with a route code although there is no dictionary",
        why: "a request is always answered",
        ours: &[Answers("a", 1, ROUTE)],
    },
    Difference {
        case: "handler outcomes",
        why: "a handler that throws is answered and never wedges its connection; one that never answers is a 504",
        ours: &[
            Answers("a", 5, r#"{"code":500}"#),
            Answers(
                "a",
                6,
                r#"{"code":504,"message":"no answer within the time limit"}"#,
            ),
            Answers(
                "a",
                7,
                r#"{"echo":{"x":1,"__route__":"connector.labHandler.echo"}}"#,
            ),
        ],
    },
    Difference {
        case: "data package without a body",
        why: "bytes that are no message never wedge the connection; without an id there is nobody to answer",
        ours: &[Answers(
            "a",
            2,
            r#"{"echo":{"__route__":"connector.labHandler.echo"}}"#,
        )],
    },
    Difference {
        case: "two packages in one WebSocket message",
        why: "several packages in one WebSocket frame are accepted",
        ours: &[
            Stays("a"),
            Answers(
                "a",
                1,
                r#"{"echo":{"x":1,"__route__":"connector.labHandler.echo"}}"#,
            ),
            Answers(
                "a",
                2,
                r#"{"echo":{"x":2,"__route__":"connector.labHandler.echo"}}"#,
            ),
        ],
    },
    Difference {
        case: "ack and request in one WebSocket message",
        why: "several packages in one WebSocket frame are accepted",
        ours: &[
            Stays("a"),
            Beats("a"),
            Answers(
                "a",
                1,
                r#"{"echo":{"x":1,"__route__":"connector.labHandler.echo"}}"#,
            ),
        ],
    },
    Difference {
        case: "client closes right after entering",
        why: "no difference: whether bob's answer comes before his good-bye is chance, and the recording ends before \
              alice hears of carol",
        ours: &[
            MayAnswer("b", 1),
            Pushes("a", "onAdd", r#"{"route":"onAdd","user":"carol"}"#),
        ],
    },
    Difference {
        case: "plain HTTP on the WebSocket port",
        why: "who comes with a browser is told what this port is, and the connection is not kept open for 90 s",
        ours: &[AnswersText("HTTP/1.1 426 Upgrade Required\r\n")],
    },
    Difference {
        case: "dictionary and protobuf: handshake",
        why: "no difference: the recording ends before the last heartbeat",
        ours: &[Beats("c")],
    },
    Difference {
        case: "dictionary and protobuf: session",
        why: "a request is always answered, also one with an unknown code",
        ours: &[Answers("a", 4, ROUTE)],
    },
];
