/**
 * `plinth health-check`: the definition.
 */
import type { CommandSpec } from "../Spec.ts"
import { database, dir, output } from "./standardOptions.ts"

export const healthCheck = {
  name: "health-check",
  summary: "Say whether the database is healthy, what is wrong, and the command that mends it",
  description: [
    "A check that could not see something says unknown and why, never ok. An unreachable database is critical. The exit codes are those of monitoring plugins, so wrong usage is 3 here and not 2.",
    "Needs a URL or --embedded; --list and --explain do not, and print plinth.health.checks/1 with --json: checks, each with id, title, category, tier and doc."
  ],
  options: {
    ...database,
    check: {
      name: "check",
      value: "id",
      repeatable: true,
      description: "Run only this check; may be given several times"
    },
    tier: {
      name: "tier",
      value: "tier",
      choices: ["probe", "fast", "all"],
      default: "all",
      description:
        "Which checks to run, by their cost: the probes, the fast ones too, or all, with those that read the catalogue"
    },
    format: {
      name: "format",
      value: "format",
      choices: ["text", "json", "nagios", "prometheus"],
      default: "text",
      description: "How to print the report"
    },
    failOn: {
      name: "fail-on",
      value: "severity",
      choices: ["warning", "critical"],
      default: "warning",
      description: "The least severity that is not exit 0"
    },
    explain: { name: "explain", value: "id", description: "Explain a check, without running it" },
    list: { name: "list", description: "List the checks, without running them" },
    dir,
    ...output
  },
  json: {
    schema: "plinth.health/1",
    members: {
      schemaVersion: "1",
      status: "ok, warning, critical or unknown",
      at: "when",
      nodes: "host:port/database of each",
      checks: "one for each check and node: id, status, findings, unknowns, measurements"
    }
  },
  usageExit: 3,
  exits: [
    [0, "healthy"],
    [1, "warning"],
    [2, "critical: also when the database cannot be reached"],
    [3, "unknown, or wrong usage or configuration"]
  ],
  examples: [
    { command: "plinth health-check --tier fast --format nagios", does: "one line for a monitoring system" },
    { command: "plinth health-check --explain invalid-index", does: "what a check looks at, and why" }
  ]
} as const satisfies CommandSpec
