{{- /* The pod that proves that the webhook answers, of the Job after an install and of `helm test`. */}}
{{- define "chaperone.checkPod" -}}
restartPolicy: Never
serviceAccountName: chaperone-check
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  seccompProfile:
    type: RuntimeDefault
containers:
  - name: check
    image: {{ include "chaperone.image" (list . "operator") }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    command: [/usr/bin/node, /check/check.mjs, {{ .Values.check.timeoutSeconds | quote }}]
    env:
      - name: NODE_EXTRA_CA_CERTS
        value: /var/run/secrets/kubernetes.io/serviceaccount/ca.crt
    securityContext:
      {{- include "chaperone.restricted" . | nindent 6 }}
    resources:
      requests:
        cpu: 10m
        memory: 64Mi
      limits:
        memory: 128Mi
    volumeMounts:
      - name: check
        mountPath: /check
        readOnly: true
volumes:
  - name: check
    configMap:
      name: chaperone-check
{{- with .Values.operator.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.operator.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
