{{/*
What the Secret holds, as JSON of plain texts: what it held before, and new random texts for keys that are not there.
Worked out once for a rendering, so that checksums of pods are those of what is stored.
*/}}
{{- define "gpuspawner.generatedSecrets" -}}
{{- if not (hasKey .Values "generatedSecrets") }}
{{- $stored := lookup "v1" "Secret" .Release.Namespace (printf "%s-secrets" (include "gpuspawner.fullname" .)) }}
{{- $kept := $stored.data | default dict }}
{{- $new := dict
  "cookie-secret" (randAlphaNum 64 | sha256sum)
  "crypt-key" (randAlphaNum 64 | sha256sum)
  "proxy-token" (randAlphaNum 64)
  "admin-password" (randAlphaNum 32)
}}
{{- range $key, $value := $kept }}
{{- $_ := set $new $key (b64dec $value) }}
{{- end }}
{{- $_ := set .Values "generatedSecrets" $new }}
{{- end }}
{{- toJson .Values.generatedSecrets }}
{{- end }}

{{/* Changes when a generated secret does: (dict "context" $ "keys" (list ...)). Of a Secret of the user's own, its name. */}}
{{- define "gpuspawner.secretsChecksum" -}}
{{- if .context.Values.hub.existingSecret }}
{{- .context.Values.hub.existingSecret | sha256sum }}
{{- else }}
{{- $secrets := include "gpuspawner.generatedSecrets" .context | fromJson }}
{{- $counted := dict }}
{{- range .keys }}
{{- $_ := set $counted . (get $secrets .) }}
{{- end }}
{{- $counted | toJson | sha256sum }}
{{- end }}
{{- end }}
