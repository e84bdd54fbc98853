/**
 * How large a pool should be: advice with its reasons, a simulation of what a size would do, and the measurements that
 * both stand on.
 *
 * @since 0.1.0
 */
export { renderText } from "./PoolOptimizer/Advice.ts"
export type { Advice, Figures, Limit, PoolSize } from "./PoolOptimizer/Advice.ts"
export { advise } from "./PoolOptimizer/advise.ts"
export type { AdviseOptions } from "./PoolOptimizer/advise.ts"
export { alerts, thresholds } from "./PoolOptimizer/alerts.ts"
export type { Alert, Observation } from "./PoolOptimizer/alerts.ts"
export { auto, layerAuto, watch } from "./PoolOptimizer/auto.ts"
export type { Auto, AutoOptions, AutoStatus, WatchedPool } from "./PoolOptimizer/auto.ts"
export type { GradientOptions, GradientState, Verdict } from "./PoolOptimizer/gradient.ts"
export { knee } from "./PoolOptimizer/knee.ts"
export type { Knee, LatencyPoint } from "./PoolOptimizer/knee.ts"
export { measure } from "./PoolOptimizer/measure.ts"
export type { MeasuredTimes, Measurement, PoolSnapshot } from "./PoolOptimizer/measure.ts"
export {
  busyQuantile,
  connectionsFor,
  meanWaitMs,
  waitingProbability,
  waitQuantileMs
} from "./PoolOptimizer/queueing.ts"
export type { Queue, Target } from "./PoolOptimizer/queueing.ts"
export { simulate, variationOf } from "./PoolOptimizer/simulate.ts"
export type { SimulateOptions, SimulationResult, TimeFigures, UseDistribution } from "./PoolOptimizer/simulate.ts"
export { sample, survey } from "./PoolOptimizer/survey.ts"
export type { Application, Sample, Survey } from "./PoolOptimizer/survey.ts"
export { onTop } from "./PoolOptimizer/Workload.ts"
export type { Server, Workload } from "./PoolOptimizer/Workload.ts"
