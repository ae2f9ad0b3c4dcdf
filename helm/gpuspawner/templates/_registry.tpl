{{/* A Secret to log in to the registry of imagePullSecret with: (dict "context" $ "name" ... "namespace" ... "annotations" {...}). */}}
{{- define "gpuspawner.registrySecret" -}}
{{- $registry := .context.Values.imagePullSecret }}
{{- if not (and $registry.registry $registry.username $registry.password) }}
{{- fail "imagePullSecret.create: found true without registry, username and password. Give all three, or name a Secret that exists in imagePullSecrets." }}
{{- end }}
{{- $login := dict "username" $registry.username "password" $registry.password "auth" (printf "%s:%s" $registry.username $registry.password | b64enc) }}
{{- with $registry.email }}
{{- $_ := set $login "email" . }}
{{- end }}
apiVersion: v1
kind: Secret
metadata:
  name: {{ .name }}
  namespace: {{ .namespace | quote }}
  labels:
    {{- include "gpuspawner.labels" (dict "context" .context "component" "registry") | nindent 4 }}
  {{- with .annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
type: kubernetes.io/dockerconfigjson
data:
  .dockerconfigjson: {{ dict "auths" (dict $registry.registry $login) | toJson | b64enc | quote }}
{{- end }}
