// SPDX-License-Identifier: Apache-2.0

import java.io.File;
import java.net.InetSocketAddress;
import java.net.ProxySelector;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.security.KeyStore;
import java.time.Duration;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLHandshakeException;
import javax.net.ssl.TrustManagerFactory;

/**
 * Https URL PROXY STORE: Java's HttpClient. Prints a line each: directly and through PROXY (host:port), with the runtime's trust;
 * whether the handshake fails with the trust of STORE alone; how many entries the runtime's store has where its checksum is verified.
 */
class Https {
	static String get(HttpClient.Builder builder, String url) throws Exception {
		HttpRequest request = HttpRequest.newBuilder(URI.create(url)).timeout(Duration.ofSeconds(20)).build();
		HttpResponse<String> response = builder.build().send(request, HttpResponse.BodyHandlers.ofString());
		return response.version() + " " + response.body();
	}

	static SSLContext trusting(String store) throws Exception {
		TrustManagerFactory managers = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
		managers.init(KeyStore.getInstance(new File(store), (char[]) null));
		SSLContext context = SSLContext.getInstance("TLS");
		context.init(null, managers.getTrustManagers(), null);
		return context;
	}

	public static void main(String[] args) throws Exception {
		String[] proxy = args[1].split(":");
		InetSocketAddress address = InetSocketAddress.createUnresolved(proxy[0], Integer.parseInt(proxy[1]));
		System.out.println("direct " + get(HttpClient.newBuilder(), args[0]));
		System.out.println("proxy " + get(HttpClient.newBuilder().proxy(ProxySelector.of(address)), args[0]));
		try {
			System.out.println("other " + get(HttpClient.newBuilder().sslContext(trusting(args[2])), args[0]));
		} catch (SSLHandshakeException expected) {
			System.out.println("other refused");
		}
		File store = new File(System.getProperty("javax.net.ssl.trustStore"));
		System.out.println("entries " + KeyStore.getInstance(store, "changeit".toCharArray()).size());
	}
}
