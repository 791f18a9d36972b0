mod arbiter;
mod desk;
mod hosts;
mod model;
mod stories;
mod world;
