/**
 * `plinth pool`: the definition.
 */
import type { CommandSpec, OptionSpec } from "../Spec.ts"
import { database, output } from "./standardOptions.ts"

const work = {
  arrivals: {
    name: "arrivals",
    value: "rate",
    description: "How many units of work ask for a connection, of all processes together"
  },
  service: {
    name: "service",
    value: "duration",
    description: "How long each holds its connection on average, the network included"
  }
} as const satisfies Record<string, OptionSpec>

export const advise = {
  name: "advise",
  summary: "Say how large the pools to this server should be, and why",
  description: [
    "Reads the limits of the server and who is connected, and watches the work of the database for a while, unless --arrivals and --service say what it is. Looks at the node of --url; changes nothing.",
    "What cannot be known is named as such, with what would tell. Needs a URL or --embedded."
  ],
  options: {
    ...database,
    processes: {
      name: "processes",
      value: "number",
      default: "1",
      description: "How many processes have a pool to this server, those of an overlapping deployment included"
    },
    cores: {
      name: "cores",
      value: "number",
      default: "this machine's, if the server is on it, else unknown",
      description: "The cores of the server"
    },
    ...work,
    sample: { name: "sample", value: "duration", default: "5s", description: "How long to watch the work" },
    application: {
      name: "application",
      value: "name",
      default: "that of the URL",
      description: "The application_name of the processes; connections under any other are taken as given"
    },
    ...output
  },
  json: {
    schema: "plinth.pool-advise/1",
    members: {
      database: "host:port/database",
      server: "maxConnections, superuserReserved, reserved, cores (null: unknown), others",
      applications: "application, connections, active, idleInTransaction of each",
      work: "source (options, measured, both, unknown), arrivalsPerSecond, useMs, activeMs, roundTripMs; null is unknown",
      perProcess: "min, max",
      total: "min, max of all processes",
      limit: "what decided: need, knee, cores, server or default",
      figures: "what the advice was calculated from",
      reasons: "why, in sentences",
      unknowns: "what could not be known, and what would tell",
      alerts: "severity, measure, value, threshold, message"
    }
  },
  exits: [[3, "there is an alert"]],
  examples: [
    { command: "plinth pool advise --processes 4", does: "measure the work for 5 s, and divide the server among four" },
    {
      command: "plinth pool advise --arrivals 500/s --service 4ms --cores 8",
      does: "advice for work that is not there yet"
    }
  ]
} as const satisfies CommandSpec

export const simulate = {
  name: "simulate",
  summary: "Simulate how long work waits for a connection in pools of several sizes",
  description: [
    "Work arrives at random, takes a connection, first come first served, and holds it. Beside the simulation stands the mean wait of the formulas (Erlang C; Pollaczek and Khinchine; Allen and Cunneen). The same seed gives the same figures. No server is needed."
  ],
  options: {
    ...work,
    connections: {
      name: "connections",
      value: "number",
      default: "several around the fewest with which one in a hundred waits",
      description: "The size of the pool"
    },
    distribution: {
      name: "distribution",
      value: "kind",
      choices: ["exponential", "constant", "lognormal"],
      default: "exponential",
      description: "How the service time is distributed; lognormal has a long tail, with a deviation of twice the mean"
    },
    duration: { name: "duration", value: "duration", default: "60s", description: "How long work arrives" },
    acquireTimeout: {
      name: "acquire-timeout",
      value: "duration",
      default: "10s",
      description: "Work that has waited for longer goes away"
    },
    cores: {
      name: "cores",
      value: "number",
      default: "more than there are connections",
      description: "The cores of the server: with more connections busy, each takes proportionally longer"
    },
    // `--seed` is a switch of other commands.
    seed: { name: "random-seed", value: "number", default: "1", description: "Where chance begins" },
    ...output
  },
  json: {
    schema: "plinth.pool-simulate/1",
    members: {
      arrivalsPerSecond: "as given",
      serviceMs: "as given",
      distribution: "as given",
      seed: "as given",
      load: "connections that are busy on average (Erlangs)",
      recommended: "the fewest connections with which one in a hundred waits",
      sizes:
        "for each size: connections, arrivals, served, timeouts, waitedShare, wait and response (meanMs, p50Ms, p95Ms, p99Ms, maxMs), utilisation, longestQueue, formulaMeanWaitMs (null: without end, or there is no formula)"
    }
  },
  examples: [
    { command: "plinth pool simulate --arrivals 500/s --service 4ms", does: "a table of sizes" },
    {
      command: "plinth pool simulate --arrivals 500/s --service 4ms --connections 3 --distribution lognormal",
      does: "one size under work with a long tail"
    }
  ]
} as const satisfies CommandSpec

export const pool = {
  name: "pool",
  summary: "Advise the size of connection pools, and simulate them",
  options: {},
  commands: [advise, simulate]
} as const satisfies CommandSpec
