mod checks;
mod evidence;
mod leaders;
mod levels;
mod members;
mod power;
mod tests;
mod watchdog;
