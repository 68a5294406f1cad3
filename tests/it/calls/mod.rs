//! What happens to calls and to money.

mod capacity;
mod decisions;
mod events;
mod explains;
mod hand_back;
mod money;
mod nodes;
mod prices;
mod privacy;
mod replays;
mod reroutes;
mod schedules;
mod tables;
mod together;
