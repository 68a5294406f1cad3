//! stub
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Zone;
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WeeklyHours;
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window;
