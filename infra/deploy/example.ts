import { defineDeployment } from './config.ts';

/** One model on GPU nodes for attention and memory-rich nodes for experts; `janus deploy --config infra/deploy/example.ts`. */
export default defineDeployment({
  namespace: 'janus',
  image: 'registry.example/janus:0.1.0',
  redis: { secret: 'janus-redis' },
  models: [
    {
      name: 'qwen3-30b-a3b',
      folder: '/models/qwen3-30b-a3b-int4',
      claim: 'qwen3-30b-a3b',
      attention: {
        least: 1,
        most: 4,
        kvSlots: 64,
        resources: { cpu: '8', memory: '24Gi', gpu: { count: 1 } },
        nodeSelector: { 'cloud.example/pool': 'attention' },
        tolerations: [{ key: 'nvidia.com/gpu', effect: 'NoSchedule' }],
      },
      experts: {
        least: 4,
        most: 16,
        slots: 40,
        resources: { cpu: '4', memory: '16Gi' },
        nodeSelector: { 'cloud.example/pool': 'experts' },
      },
    },
  ],
  gateway: { replicas: 2, service: 'LoadBalancer', filesClaim: 'janus-files' },
});
