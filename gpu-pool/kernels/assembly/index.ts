/*
 * The kernels' module. Pointers are byte offsets into the imported memory, sizes are in elements unless a name says
 * bytes. No function allocates or keeps anything between calls, so threads may run any of them at once on one memory as
 * long as what they write does not overlap.
 *
 * Address 0 stands for "absent". The compiler assumes that nothing lies below 1024, which lets it fold small sums of
 * addresses into load instructions.
 */
export { attend, attendSegments, joinSegments } from './attention/attention';
export { storeRows } from './attention/stored-rows';
export { gate } from './gate';
export { linearFloat } from './linear/linear-float';
export { linear } from './linear/linear';
export { wideDot } from './linear/codes';
export { rmsNorm, rotate } from './norm';
export { scaleSums, spread } from './linear/products';
export { quantizePlain, quantizeRows, quantizeWords } from './linear/quantize';
export { quantizeWoven } from './linear/quantize-woven';
export { scalePanel, sumPanel } from './linear/panels';
export { linearWoven } from './linear/woven';
export { chooseExperts, combine, gatherPairs, moveRows } from './routing';
export { indexOfLargest, weigh } from './sampling';
