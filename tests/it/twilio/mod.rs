//! Twilio, judged by its own library: what it signs is taken, what it does not is refused, what we write is TwiML.

mod documents;
mod lives;
mod losses;
mod mutations;
mod privacy;
mod shapes;
mod signatures;
mod simulated;
mod together;
