//! The simulators over real sockets. No exchange is tested here: a fake one answers the carriers.

mod bidders;
mod carriers;
mod fake_exchange;
mod hostile;
