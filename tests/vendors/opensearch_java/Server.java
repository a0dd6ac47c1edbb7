import java.util.List;
import java.util.Map;
import org.opensearch.common.settings.Settings;
import org.opensearch.env.Environment;
import org.opensearch.node.InternalSettingsPreparer;
import org.opensearch.node.Node;
import org.opensearch.plugins.Plugin;

/** One OpenSearch node with the k-NN plugin, until its standard input ends. Arguments: folder, HTTP port. */
public final class Server {
    private static final class Plugged extends Node {
        Plugged(Environment place, List<Class<? extends Plugin>> plugins) {
            super(place, plugins, false);
        }
    }

    public static void main(String[] arguments) throws Exception {
        Settings settings = Settings.builder()
            .put("path.home", arguments[0])
            .put("http.port", arguments[1])
            .put("transport.port", "0")
            .put("network.host", "127.0.0.1")
            .put("discovery.type", "single-node")
            .put("node.name", "one")
            .put("cluster.name", "tests")
            .put("cluster.routing.allocation.disk.threshold_enabled", false)
            .build();
        Environment place = InternalSettingsPreparer.prepareEnvironment(settings, Map.of(), null, () -> "one");
        Node node = new Plugged(place, List.of(
            org.opensearch.transport.Netty4Plugin.class,
            org.opensearch.analysis.common.CommonAnalysisPlugin.class,
            org.opensearch.painless.PainlessPlugin.class,
            org.opensearch.knn.plugin.KNNPlugin.class));
        node.start();
        while (System.in.read() >= 0) {
        }
        node.close();
        System.exit(0);
    }
}
