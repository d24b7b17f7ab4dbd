mod drain;
mod follow;
mod forwarding;
mod framing;
mod headers;
mod retry;
mod slow;
mod upgrade;
